"""Who hosts a dataset, by the address of its page. Django-free."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Host:
    """A site that hosts datasets of many publishers.

    ``domains`` also stand for what is below them; ``doi_prefixes`` are those of the DOIs that it
    gives, of which some are shared by several hosts, so that they go on after the slash.
    """

    code: str
    name: str
    domains: tuple[str, ...]
    doi_prefixes: tuple[str, ...] = ()

    @property
    def name_in_sentence(self) -> str:
        """The name with its article, if it has one: "the ISIC Archive"."""
        name = self.name.removeprefix("The ")
        return f"the {name}" if name.endswith((" Archive", " Commons", " Hub")) else name


HOSTS = (
    Host("tcia", "The Cancer Imaging Archive", ("cancerimagingarchive.net",),
         ("10.7937/",)),
    Host("grand-challenge", "Grand Challenge", ("grand-challenge.org",)),
    Host("kaggle", "Kaggle", ("kaggle.com",), ("10.34740/",)),
    Host("zenodo", "Zenodo", ("zenodo.org",), ("10.5281/zenodo.",)),
    Host("physionet", "PhysioNet", ("physionet.org",), ("10.13026/",)),
    Host("synapse", "Synapse", ("synapse.org",), ("10.7303/",)),
    Host("figshare", "figshare", ("figshare.com",), ("10.6084/m9.figshare.",)),
    Host("huggingface", "Hugging Face", ("huggingface.co",), ("10.57967/hf/",)),
    Host("openneuro", "OpenNeuro", ("openneuro.org",), ("10.18112/openneuro.",)),
    Host("mendeley", "Mendeley Data", ("data.mendeley.com",), ("10.17632/",)),
    Host("dataverse", "Dataverse", ("dataverse.harvard.edu", "borealisdata.ca",
         "dataverse.no", "dataverse.nl"), ("10.7910/dvn/",)),
    Host("aida", "AIDA Data Hub", ("datahub.aida.scilifelab.se",), ("10.23698/aida/",)),
    Host("stanford-aimi", "Stanford AIMI", ("stanfordaimi.azurewebsites.net", "aimi.stanford.edu",
         "redivis.com")),
    Host("bimcv", "BIMCV", ("bimcv.cipf.es",)),
    Host("nitrc", "NITRC", ("nitrc.org",)),
    Host("loni", "LONI Image and Data Archive", ("ida.loni.usc.edu", "adni.loni.usc.edu")),
    Host("isic", "ISIC Archive", ("isic-archive.com",)),
    Host("aicrowd", "AIcrowd", ("aicrowd.com",)),
    Host("codalab", "CodaLab", ("competitions.codalab.org", "codalab.lisn.upsaclay.fr",
         "codabench.org")),
    Host("imageclef", "ImageCLEF", ("imageclef.org",)),
    Host("ieee-dataport", "IEEE DataPort", ("ieee-dataport.org",), ("10.21227/",)),
    Host("github", "GitHub", ("github.com", "github.io")),
    Host("google-drive", "Google Drive", ("drive.google.com",)),
    Host("box", "Box", ("box.com",)),
    Host("opendatalab", "OpenDataLab", ("opendatalab.com", "opendatalab.org.cn")),
    Host("tianchi", "Tianchi", ("tianchi.aliyun.com",)),
    Host("heywhale", "HeyWhale", ("heywhale.com",)),
    Host("aistudio", "Baidu AI Studio", ("aistudio.baidu.com",)),
)  # fmt: skip
IDC = Host("idc", "Imaging Data Commons", ("imaging.datacommons.cancer.gov",))
# Its images there are series.
IDC_BUCKETS = ("idc-open-data", "idc-open-data-two", "idc-open-data-cr")
OWN = Host("own", "The publisher's own site", ())
UNKNOWN_HOST = Host("unknown", "Not stated", ())
ALL_HOSTS = (IDC, *HOSTS, OWN, UNKNOWN_HOST)
_BY_DOMAIN = {domain: host for host in (IDC, *HOSTS) for domain in host.domains}
_DOI = re.compile(r"(?:^|doi\.org/|doi:)(10\.\d{4,9}/\S+)", re.IGNORECASE)


def find_host(url: str) -> Host:
    """The host of a page; an address by DOI is taken for what its prefix says.

    A DOI of a journal says nothing of the host, so that is unknown.
    """
    if found := _DOI.search(url):
        doi = found[1].casefold()
        return next((host for host in HOSTS if doi.startswith(host.doi_prefixes)), UNKNOWN_HOST)
    name = (urlsplit(url).hostname or "").removeprefix("www.")
    if not name:
        return UNKNOWN_HOST
    parts = name.split(".")
    domains = (".".join(parts[start:]) for start in range(len(parts)))
    return next((_BY_DOMAIN[domain] for domain in domains if domain in _BY_DOMAIN), OWN)
