"""The workflow file and the README cannot be run here: hold what they tell people to type to what there is."""

import re
from pathlib import Path
from typing import Any

import pytest

yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
MAKE = re.compile(r"\bmake ((?:[a-z]+ ?)+)$", re.MULTILINE)
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)


def targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text()))


def scripts(workflow: Path) -> list[str]:
    """What each step runs."""
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def made(text: str) -> set[str]:
    """The targets that `text` has made."""
    return {target for line in MAKE.findall(text) for target in line.split()}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_one(workflow: Path) -> None:
    parsed = yaml.safe_load(workflow.read_text())
    assert {"name", "jobs"} <= set(parsed)
    assert parsed[True], "when it runs; YAML 1.1 reads `on` as a truth"
    for job in parsed["jobs"].values():
        assert job["runs-on"].startswith("ubuntu-")
        assert 0 < job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), step


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_makes_is_in_the_makefile(workflow: Path) -> None:
    wanted = made("\n".join(scripts(workflow)))
    assert {"test", "hwtest"} <= wanted <= targets()


def test_what_the_readme_has_people_make_is_in_the_makefile() -> None:
    block = re.findall(r"^    (.*?)(?:  +#.*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)
    wanted = made("\n".join(line.rstrip() for line in block))
    assert {"serve", "test", "hwtest"} <= wanted <= targets()


def test_the_workflow_and_the_readme_load_and_install_the_same() -> None:
    readme = (ROOT / "README.md").read_text()
    for words in ("linux-modules-extra-$(uname -r)", "modprobe", "rdma_rxe", "HWTEST_MOUNTS=1 make hwtest"):
        assert words in readme
        assert any(words in "\n".join(scripts(workflow)) for workflow in WORKFLOWS), words
