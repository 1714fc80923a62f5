"""The pages under docs/ tell the truth: their YAML parses, and the commands in it and in their shell blocks are ones that our command line takes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import yaml

from dovestorm.cli import cli
from dovestorm.load.plan import read_plan

DOCS = sorted((Path(__file__).resolve().parents[2] / "docs").glob("*.md"))
PATIENCE_S = 60

# Locust patches the sockets of the process that imports it.
READER = """
import json, os, sys
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
from locust.argument_parser import get_parser
import dovestorm.load.arguments
parser = get_parser()
print(json.dumps([vars(parser.parse_args(arguments)) for arguments in json.load(sys.stdin)], default=str))
"""


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def documents(page):
    """What the page's YAML blocks hold."""
    return [found for block in blocks(page, "yaml") for found in yaml.safe_load_all(block)]


def commands(page):
    """The words of each command in the page's shell blocks."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def containers(node):
    """The mappings that say what a container runs, for Kubernetes (``args``) or compose (``command``)."""
    if isinstance(node, dict):
        if isinstance(node.get("args", node.get("command")), list):
            yield node
        for value in node.values():
            yield from containers(value)
    elif isinstance(node, list):
        for value in node:
            yield from containers(value)


def contained(page):
    return [[*container.get("args", container.get("command"))] for document in documents(page) for container in containers(document)]


@pytest.mark.parametrize("page", [page for page in DOCS if blocks(page, "yaml")], ids=lambda page: page.stem)
def test_yaml_parses(page):
    assert all(document is not None for document in documents(page))


@pytest.mark.parametrize("page", [page for page in DOCS if blocks(page, "sh")], ids=lambda page: page.stem)
def test_our_commands_have_the_options(page):
    for program, *arguments in commands(page):
        if program == "dovestorm":
            command = cli.get_command(click.Context(cli), arguments[0])
            assert command is not None, arguments
            command.make_context(arguments[0], arguments[1:])


@pytest.mark.skipif(find_spec("locust") is None, reason="the extra 'load' is not installed")
def test_locust_takes_its_options():
    """In shell blocks, and in what containers run; the master's make a plan."""
    found = [arguments for page in DOCS for program, *arguments in commands(page) if program == "locust"]
    found += [arguments for page in DOCS for arguments in contained(page)]
    assert len(found) >= 7
    done = subprocess.run([sys.executable, "-P", "-c", READER], input=json.dumps(found), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    plans = [read_plan(options, host=options["host"]) for options in json.loads(done.stdout) if not options["worker"]]
    assert all(plan.is_open for plan in plans)


def test_the_cluster_fits_together():
    """Each service finds its pods, each workload its own; as many workers as the master waits for; the metrics' port is open."""
    (page,) = (page for page in DOCS if page.stem == "scaling")
    kinds = {(found["kind"], found["metadata"]["name"]): found["spec"] for found in documents(page) if "kind" in found}
    master, workers = kinds["Job", "storm-master"]["template"], kinds["Deployment", "storm-workers"]
    assert kinds["Service", "storm-master"]["selector"] == master["metadata"]["labels"]
    assert workers["selector"]["matchLabels"] == workers["template"]["metadata"]["labels"]
    (container,) = master["spec"]["containers"]
    arguments = container["args"]
    assert arguments[arguments.index("--expect-workers") + 1] == str(workers["replicas"])
    assert arguments[arguments.index("--openmetrics") + 1].endswith(f":{container['ports'][0]['containerPort']}")
    assert "storm-master" in workers["template"]["spec"]["containers"][0]["args"]
