"""`connector mails preview DIR`: everything that people will get, to look at beforehand."""

from __future__ import annotations

import re
from pathlib import Path

from connector.core.ports import MailKind
from connector.mail.preview import SAMPLE_BRAND, preview
from connector.mail.render import Brand


def test_every_kind_is_written_as_html_and_text_with_an_index_of_all(tmp_path: Path) -> None:
    written = preview(tmp_path / "deep" / "mails", SAMPLE_BRAND)
    assert all(path.is_file() for path in written)
    names = {path.name for path in written}
    for kind in MailKind:
        assert {f"{kind.value}.html", f"{kind.value}.txt"} <= names
    index = (tmp_path / "deep" / "mails" / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'href="([^"]+)"', index)) == names - {"index.html"}


def test_the_preview_shows_the_brand_of_the_configuration(tmp_path: Path) -> None:
    preview(tmp_path, Brand(name="Fabrikam & Sons", phone="+1 425 555 0100", colour="#ffd500"))
    page = (tmp_path / "timed_out.html").read_text(encoding="utf-8")
    assert "Fabrikam &amp; Sons" in page
    assert "#ffd500" in page
    assert "Fabrikam & Sons" in (tmp_path / "timed_out.txt").read_text(encoding="utf-8")


def test_a_repeat_overwrites_its_own_files_and_leaves_others_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "timed_out.txt").write_text("old", encoding="utf-8")
    first = preview(tmp_path, SAMPLE_BRAND)
    assert preview(tmp_path, SAMPLE_BRAND) == first
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert "Subject: [#4242]" in (tmp_path / "timed_out.txt").read_text(encoding="utf-8")
