from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from vocab.lookup import VOCABULARIES
from vocab.tests.factories import AreaFactory, ModalityFactory, add_alias

pytestmark = pytest.mark.django_db


def list_terms(*arguments: str) -> str:
    out = StringIO()
    call_command("terms", *arguments, stdout=out)
    return out.getvalue()


def test_codes_names_and_aliases_of_a_vocabulary_are_listed() -> None:
    mr = ModalityFactory(code="mr", name="Magnetic resonance")
    ModalityFactory(code="ct", name="Computed tomography")
    ModalityFactory(code="off", is_active=False)
    AreaFactory(code="chest")
    for text in ("MRI", "kernspin"):
        add_alias(mr, text)

    lines = list_terms("modality").splitlines()

    assert lines[0] == "modality: 2 terms"
    assert [line.split() for line in lines[1:]] == [
        ["ct", "Computed", "tomography"],
        ["mr", "Magnetic", "resonance", "(MRI", "|", "kernspin)"],
    ]


def test_without_a_name_all_are_listed_and_an_empty_one_says_how_it_is_filled() -> None:
    report = list_terms()

    assert [line for line in report.splitlines() if not line.startswith(" ")] == [
        f"{name}: 0 terms" for name in VOCABULARIES
    ]
    assert "manage.py load_vocab" in report
    with pytest.raises(CommandError, match="invalid choice: 'terms'"):
        list_terms("terms")
