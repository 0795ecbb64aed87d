"""Every test that pytest collects ran once, in one of several runs, and none was skipped.

    python .ci/every_test_ran.py COLLECTED REPORT ...

COLLECTED is what `pytest --collect-only -q` printed, each REPORT what `--junitxml` wrote.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

Test = tuple[str, str]
"""As pytest writes it into a report: module and class, and the name with its parameters."""
MOST_SHOWN = 20


def collected(printed: str) -> Iterator[Test]:
    for line in printed.splitlines():
        address, bracket, parameters = line.partition("[")
        if "::" in address:
            *scopes, name = address.split("::")
            scopes[0] = scopes[0].removesuffix(".py").replace("/", ".")
            yield ".".join(scopes), name + bracket + parameters


def ran(report: Path) -> Iterator[Test]:
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        if case.find("skipped") is None:
            yield case.attrib["classname"], case.attrib["name"]


def main() -> int:
    wanted = Counter(collected(Path(sys.argv[1]).read_text(encoding="utf-8")))
    runs = [Counter(ran(Path(report))) for report in sys.argv[2:]]
    all_runs = sum(runs, Counter[Test]())
    print(f"{wanted.total()} tests collected; {' + '.join(str(one.total()) for one in runs)} ran")
    for what, tests in (("did not run", wanted - all_runs), ("ran, but not once", all_runs - wanted)):
        for test in sorted(tests)[:MOST_SHOWN]:
            print(f"{what}: {'::'.join(test)}")
    return 0 if wanted == all_runs and wanted else 1


if __name__ == "__main__":
    sys.exit(main())
