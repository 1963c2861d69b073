"""prefect.yaml: every deployment leads to a flow by module path, with parameters that the flow takes."""

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


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
