"""Who hosts a dataset, as its address says."""

import pytest

from catalog.dataset_hosts import ALL_HOSTS, find_host


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://zenodo.org/records/10069368", "zenodo"),
        ("https://doi.org/10.5281/zenodo.10069368", "zenodo"),
        ("https://www.cancerimagingarchive.net/collection/nlst/", "tcia"),
        ("https://wiki.cancerimagingarchive.net/pages/viewpage.action?pageId=1", "tcia"),
        ("https://doi.org/10.7937/TCIA.QQ0G-EB24", "tcia"),
        ("https://kits19.grand-challenge.org/", "grand-challenge"),
        ("https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation", "kaggle"),
        ("https://physionet.org/content/vindr-cxr/1.0.0/", "physionet"),
        ("https://www.synapse.org/#!Synapse:syn3193805", "synapse"),
        ("https://doi.org/10.6084/m9.figshare.20123135", "figshare"),
        ("https://huggingface.co/datasets/ibrahimhamamci/CT-RATE", "huggingface"),
        ("https://doi.org/10.7910/DVN/DBW86T", "dataverse"),
        ("https://echonet.github.io/dynamic/index.html", "github"),
        ("https://nihcc.app.box.com/v/DeepLesion", "box"),
        ("https://www5.cs.fau.de/research/data/fundus-images/", "own"),
        # A name that only ends alike is another site.
        ("https://notkaggle.com/x", "own"),
        ("https://kaggle.com.example.org/x", "own"),
        # A paper's DOI says nothing of where the files are.
        ("https://doi.org/10.1038/sdata.2017.132", "unknown"),
        ("", "unknown"),
        ("no address", "unknown"),
    ],
)
def test_the_host_is_told_by_the_address(url: str, code: str) -> None:
    assert find_host(url).code == code


def test_no_code_and_no_domain_stands_for_two_hosts() -> None:
    codes = [host.code for host in ALL_HOSTS]
    domains = [domain for host in ALL_HOSTS for domain in host.domains]
    assert len(set(codes)) == len(codes)
    assert len(set(domains)) == len(domains)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/a/b", "GitHub"),
        ("https://www.cancerimagingarchive.net/x", "the Cancer Imaging Archive"),
        ("https://datahub.aida.scilifelab.se/x", "the AIDA Data Hub"),
    ],
)
def test_names_have_their_article_within_a_sentence(url: str, name: str) -> None:
    assert find_host(url).name_in_sentence == name
