"""A Prefect server, and once it answers our deployments and a worker of the pool: python worker_service.py PORT"""

import os
import subprocess
import sys
from pathlib import Path

from console.supervisor import Part, Supervisor, listens
from flows.engine import prepare

PREFECT = [sys.executable, "-m", "prefect"]


def deployed() -> bool:
    """The pool and every deployment of prefect.yaml are on the server."""
    if Path("deployed").exists():
        return True
    for command in (["work-pool", "create", "milepost", "--type", "process"], ["--no-prompt", "deploy", "--all"]):
        subprocess.run([*PREFECT, *command], check=True)
    subprocess.run([sys.executable, "-m", "milepost", "prefect", "automations"], check=True)
    Path("deployed").touch()
    return True


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(port: int) -> None:
    prepare(Path(".milepost/prefect"))
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    answers = listens("127.0.0.1", port)
    server = Part(
        name="Prefect's server", ready=lambda: answers() and deployed(), environment={},
        command=[*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
    )
    worker = Part(
        name="the worker", ready=lambda: True, environment={}, grace_s=60.0,
        command=[*PREFECT, "worker", "start", "--pool", "milepost", "--limit", "4"],
    )
    Supervisor(parts=[server, worker], say=say).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
