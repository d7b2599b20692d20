"""What the images page makes of a query, of too many filters, and of long lists of values."""

import html
import re
from urllib.parse import parse_qs

import pytest
from django.test import Client
from django.utils import timezone

from catalog.models import Image
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory, add_alias

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def catalog(module_db: None) -> None:
    mammography = ModalityFactory(code="mg", name="Mammography")
    ct = ModalityFactory(code="ct", name="Computed tomography")
    add_alias(ct, "CT scan")
    breast = AreaFactory(code="breast", name="Breast")
    first = DatasetFactory(slug="first", title="Screening of many", area=breast)
    for number in range(3):
        ImageFactory(dataset=first, modality=mammography, sex="F", labels=["mass"],
                     source_id=f"m-{number}")  # fmt: skip
    ImageFactory(dataset=first, modality=ct, sex="M", source_id="c-0", age_years=65.5)
    make_searchable()


def get(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, response.content
    return html.unescape(response.content.decode())


def total(page: str) -> int:
    found = re.search(r'id="results-title"[^>]*><span data-total="(\d+)"', page)
    assert found, page
    return int(found[1])


def follow(client: Client, page: str, label: str) -> str:
    """The page behind the link with this label (its text or its aria-label)."""
    for link in re.findall(r"<a [^>]*>.*?</a>", page, re.DOTALL):
        text = re.sub(r"<[^>]*>", "", link).strip()
        if label in (text, *re.findall(r'aria-label="([^"]*)"', link)):
            return get(client, re.findall(r' href="([^"]*)"', link)[0])
    raise AssertionError(f"no link {label!r}")


def test_words_that_name_terms_become_chips_that_can_be_removed(client: Client) -> None:
    page = get(client, "/images/?q=breast+mamografy")
    assert total(page) == 3
    assert "Breast" in page
    assert "for “mamografy”" in page
    less = follow(client, page, "Remove “mamografy” from the search")
    assert total(less) == 4
    plain = follow(client, page, "Search for “mamografy” as plain words instead")
    assert total(plain) == 0
    assert 'value="breast "mamografy""' in plain


def test_removing_words_keeps_the_other_filters(client: Client) -> None:
    page = get(client, "/images/?q=breast+ct+scan&sex=M&label=")
    links = re.findall(r'class="chip-remove" href="/images/\?([^"]*)"', page)
    assert {"q": ["breast"], "sex": ["M"]} in [parse_qs(link) for link in links]


def test_no_results_suggest_a_filter_to_remove_and_count_what_then_matches(client: Client) -> None:
    page = get(client, "/images/?modality=ct&sex=F&label=mass")
    assert total(page) == 0
    assert "Change one filter" in page
    suggestions = re.findall(r"without ([^<]*)</a>: <span[^>]*>(\d+) images</span>", page)
    assert suggestions == [("Modality: Computed tomography", "3")]
    assert total(follow(client, page, "without Modality: Computed tomography")) == 3


def test_a_suggestion_may_remove_words_of_the_query(client: Client) -> None:
    page = get(client, "/images/?q=ct+mass+unheardof")
    assert total(page) == 0
    assert "Changing a single filter does not help" in page
    page = get(client, "/images/?q=mammography+unheardof")
    suggestions = re.findall(r"without ([^<]*)</a>: <span[^>]*>(\d+) images</span>", page)
    assert suggestions == [("“unheardof”", "3")]
    assert total(follow(client, page, "without “unheardof”")) == 3


def test_free_words_of_the_query_are_removed_together(client: Client) -> None:
    page = get(client, "/images/?q=mammography+%2C+unheardof+bar&sex=F")
    suggestions = re.findall(r'href="/images/\?([^"]*)"[^>]*>without “unheardof bar”', page)
    assert parse_qs(suggestions[0]) == {"q": ["mammography"], "sex": ["F"]}


def test_a_search_without_a_word_is_refused(client: Client) -> None:
    for path in ("/images/", "/datasets/"):
        response = client.get(path, {"q": "🫁 ???"})
        assert response.status_code == 400
        assert "contains no word and no number" in response.content.decode()


def test_a_repeated_search_parameter_is_joined(client: Client) -> None:
    page = get(client, "/images/?q=breast&q=mammography")
    assert total(page) == 3
    assert 'value="breast mammography"' in page


def test_chips_say_which_terms_are_alternatives(client: Client) -> None:
    page = get(client, "/images/?q=mammography+and+ct+breast")
    (chips,) = re.findall('(?s)<ul class="chips understood-chips".*?</ul>', page)
    text = " ".join(re.sub("(?s)<a .*?</a>|<[^>]*>", "", chips).split())
    assert text == ("( Modality: Mammography or Modality: Computed tomography ) and Area: Breast")


def test_excluded_words_are_marked_as_excluded(client: Client) -> None:
    page = get(client, "/images/?q=breast+not+MRI+-nothing")
    assert "-MRI" in page or "-nothing" in page


def test_words_that_do_not_apply_to_datasets_are_named(client: Client) -> None:
    page = get(client, "/datasets/?q=brest+female")
    assert total(page) == 1
    assert "Datasets as a whole do not have “female”" in page


def test_removed_images_of_a_subject_are_not_counted(client: Client) -> None:
    dataset = DatasetFactory(slug="third")
    for number in range(3):
        ImageFactory(dataset=dataset, subject_id="P1", source_id=f"s-{number}")
    Image.objects.filter(source_id="s-0").update(removed_at=timezone.now())
    make_searchable()
    image = Image.objects.get(source_id="s-1")
    assert "one of 2" in get(client, image.get_absolute_url()) or "2 images" in get(
        client, image.get_absolute_url()
    )


def test_where_no_dataset_matches_matching_images_are_counted(client: Client) -> None:
    page = get(client, "/datasets/?q=c-0")
    assert total(page) == 0
    assert total(follow(client, page, "1 image matches these words")) == 1


def test_dataset_search_ignores_words_for_images(client: Client) -> None:
    page = get(client, "/datasets/?q=breast+female+screening")
    assert total(page) == 1


def test_a_long_list_of_values_is_shown_whole_on_request(client: Client) -> None:
    dataset = DatasetFactory(slug="more")
    for number in range(20):
        LabelFactory(code=f"label-{number:02}")
        ImageFactory(dataset=dataset, labels=[f"label-{number:02}"])
    make_searchable()
    page = get(client, "/images/?label=label-19")
    shown = re.findall(r'data-facet="label" data-value="([^"]*)"', page)
    assert len(shown) == 9
    assert "label-19" in shown
    assert "All 21…" in page
    whole = get(client, "/images/?label=label-19&all=label")
    assert len(re.findall(r'data-facet="label"', whole)) == 21
    assert '<input type="hidden" name="all" value="label">' in whole
    fewer = get(client, "/images/?label=label-19&all=label&fewer=label")
    assert len(re.findall(r'data-facet="label"', fewer)) == 9


def test_exact_ages_are_typed_beside_the_bands_and_shown_as_chips(client: Client) -> None:
    page = get(client, "/images/?age_min=65&age_max=65")
    assert total(page) == 1
    assert re.search(r'<input type="text" name="age_min" id="age_min" value="65"', page)
    assert re.search(r'<input type="text" name="age_max" id="age_max" value="65"', page)
    assert total(follow(client, page, "Remove Age: 65 years and older")) == 1
    assert total(follow(client, page, "Remove Age: under 66 years")) == 1


def test_ages_stay_in_the_form_where_nothing_matches(client: Client) -> None:
    page = get(client, "/images/?age_min=66")
    assert total(page) == 0
    assert 'id="age_min" value="66"' in page
    assert total(follow(client, page, "without Age: 66 years and older")) == 4
    words = get(client, "/images/?q=over+65")
    assert total(words) == 0
    assert "66 years and older" in words
    assert total(follow(client, words, "without “over 65”")) == 4


@pytest.mark.parametrize("query", ["age_min=old", "age_min=70&age_max=60", "age_max=65.5"])
def test_an_age_that_is_not_understood_shows_nothing(client: Client, query: str) -> None:
    response = client.get(f"/images/?{query}")
    assert response.status_code == 400
    assert "Age" in response.content.decode()
    assert "c-0" not in response.content.decode()


@pytest.mark.parametrize("path", ["/images/", "/datasets/"])
@pytest.mark.parametrize(
    "query",
    ["ct from 2020 or 2021", "in 2019 or 2020", "ct or from 2020", "before 2015 or after 2020",
     "without registration or application", "open access or ct", "not children or 5 or female"],
)  # fmt: skip
def test_or_beside_what_one_list_has_no_filter_for_is_no_error(
    client: Client, path: str, query: str
) -> None:
    assert client.get(path, {"q": query}).status_code == 200


def test_a_broken_or_is_quoted_as_typed(client: Client) -> None:
    page = html.unescape(client.get("/images/?q=before+2015+or+after+2020").content.decode())
    assert "“before 2015 or after 2020”" in page
