"""How long `milepost --help` takes, whole process, best and median of several runs."""

import statistics
import subprocess
import sys
import time

RUNS = 15


def main() -> None:
    """Print one line."""
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "milepost", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print(f"milepost --help: best {min(seconds):.3f} s, median {statistics.median(seconds):.3f} s of {RUNS} runs")


if __name__ == "__main__":
    main()
