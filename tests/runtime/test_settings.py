"""The table of settings and what the environment may say."""

from __future__ import annotations

import threading

import pytest

from graphc.ir.errors import ArgumentError
from graphc.ir.settings import Settings, override, read, settings, table


def test_nothing_set_gives_the_defaults() -> None:
    assert read({"PATH": "/bin"}) == Settings()
    assert {row.variable: row.default for row in table()}["GRAPHC_NUM_THREADS"] == 0
    assert all(row.meaning for row in table())


@pytest.mark.parametrize(
    "variable, text, field, value",
    [
        ("GRAPHC_CACHE_DIR", "/some/where", "cache_dir", "/some/where"),
        ("GRAPHC_CACHE_BYTES", "1000", "cache_bytes", 1000),
        ("GRAPHC_CACHE_BYTES", "0", "cache_bytes", 0),
        ("GRAPHC_NUM_THREADS", " 4 ", "num_threads", 4),
        ("GRAPHC_VERIFY", "1", "verify", True),
        ("GRAPHC_VERIFY", "off", "verify", False),
        ("GRAPHC_TRACEBACK", "True", "traceback", True),
        ("GRAPHC_NUM_THREADS", "", "num_threads", 0),
        ("GRAPHC_CPU", "x86-64-v3", "cpu", "x86-64-v3"),
    ],
)
def test_each_kind_of_value_is_parsed(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(read({variable: text}), field) == value


@pytest.mark.parametrize(
    "variable, text", [("GRAPHC_NUM_THREADS", "-1"), ("GRAPHC_NUM_THREADS", "two"), ("GRAPHC_VERIFY", "maybe")]
)
def test_a_value_that_does_not_parse_names_the_variable(variable: str, text: str) -> None:
    with pytest.raises(ArgumentError, match=f"{variable} is '{text}'"):
        read({variable: text})


def test_a_misspelt_name_is_pointed_out() -> None:
    with pytest.warns(UserWarning, match="GRAPHC_NUM_THREAD is no setting.*did you mean GRAPHC_NUM_THREADS"):
        read({"GRAPHC_NUM_THREAD": "4"})
    with pytest.warns(UserWarning, match="there are GRAPHC_CACHE_DIR"):
        read({"GRAPHC_QQQQQ": "4"})


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    monkeypatch.setenv("GRAPHC_VERIFY", "1" if not before.verify else "0")
    assert settings() is before


def test_override_holds_for_a_block_and_for_all_threads() -> None:
    before = settings()
    seen: list[str] = []
    with override(dump="here"):
        thread = threading.Thread(target=lambda: seen.append(settings().dump))
        thread.start()
        thread.join()
        with override(verify=True):
            assert settings().dump == "here"
    assert seen == ["here"]
    assert settings() is before
