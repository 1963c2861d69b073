"""prefect.yaml: every deployment leads to a flow by module path, with parameters that the flow takes."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from console.app import app
from milepost.errors import InputError, SettingsError
from milepost.settings import load
from pipeline.setup import deployments, write_deployments

ROOT = Path(__file__).parents[2]
CONFIG = Path("/srv/my: \"news\" # here/milepost.toml")  # what YAML might take for something else
DEPLOYED: dict[str, Any] = yaml.safe_load(deployments(CONFIG))
DEPLOYMENTS: list[dict[str, Any]] = DEPLOYED["deployments"]


def _flow(entrypoint: str) -> ast.FunctionDef:
    """The flow's definition, read without importing Prefect."""
    module, _, name = entrypoint.partition(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    [found] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: str(deployment["name"]))
def test_a_deployment_fits_its_flow(deployment: dict[str, Any]) -> None:
    flow = _flow(deployment["entrypoint"])
    assert {argument.arg for argument in flow.args.args} >= set(deployment["parameters"])
    assert any("flow" in ast.unparse(decorator) for decorator in flow.decorator_list)


def _flows(path: Path) -> list[str]:
    """The entry points of the flows in a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [f"flows.{path.stem}:{node.name}" for node in tree.body if isinstance(node, ast.FunctionDef)
            and any(ast.unparse(decorator).startswith("flow(") for decorator in node.decorator_list)]


def test_every_flow_is_deployed_once() -> None:
    flows = [entrypoint for path in (ROOT / "flows").glob("*.py") for entrypoint in _flows(path)]
    assert sorted(deployment["entrypoint"] for deployment in DEPLOYMENTS) == sorted(flows)


def test_paths_hold_wherever_a_worker_stands_and_whatever_is_in_them() -> None:
    [pull] = DEPLOYED["pull"]
    assert pull == {"prefect.deployments.steps.set_working_directory": {"directory": str(CONFIG.parent)}}
    assert {deployment["parameters"]["config"] for deployment in DEPLOYMENTS} == {str(CONFIG)}
    with pytest.raises(InputError, match=r"takes {{ for a template"):
        deployments(Path("/srv/{{ name }}/milepost.toml"))


def test_no_limit_of_prefect_s_is_asked_for_since_it_would_outlive_a_crash() -> None:
    assert not any("concurrency" in key for deployment in DEPLOYMENTS for key in deployment)


def test_it_is_written_beside_the_settings_once(tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    config = tmp_path / "a folder" / "milepost.toml"
    assert write_deployments(config, force=False).read_text(encoding="utf-8") == deployments(config)
    with pytest.raises(InputError, match=r"prefect\.yaml: is there already"):
        write_deployments(config, force=False)
    write_deployments(config, force=True)


def test_init_writes_both_files_and_leaves_deployments_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "prefect.yaml" in CliRunner().invoke(app, ["init"]).output
    (tmp_path / "prefect.yaml").write_text("mine", encoding="utf-8")
    (tmp_path / "milepost.toml").unlink()
    assert CliRunner().invoke(app, ["init"]).exit_code == 0
    assert (tmp_path / "prefect.yaml").read_text(encoding="utf-8") == "mine"
    printed = CliRunner().invoke(app, ["prefect", "init", "--print"]).output
    assert str(tmp_path) in printed


def test_settings_that_are_not_there_say_where_they_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=re.escape(f"(It was looked for in {tmp_path}.)")):
        load(Path("milepost.toml"))
