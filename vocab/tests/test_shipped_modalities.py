"""The shipped modalities: every defined term of DICOM, with what its objects are."""

import pytest

from vocab.lookup import find_terms
from vocab.models import Kind, Modality
from vocab.services import load_shipped_vocabularies

pytestmark = pytest.mark.django_db

# Modality (0008,0060), PS3.3 C.7.3.1.1.1, without the retired terms.
DEFINED_TERMS = {
    Kind.PICTURE: "BDUS BI BMD CFM CR CT DG DMS DX ES GM HC IO IVOCT IVUS MG MR NM OP OPM OPT "
    "OPTENF OT PT PX RF RG RTIMAGE SM TG US XA XC",
    Kind.SEGMENTATION: "SEG RTSEGANN RTSTRUCT",
    Kind.ANNOTATION: "ANN FID KO PR",
    Kind.REPORT: "AR ASMT DOC IOL KER LEN OAM OPTBSV OPV SR SRF VA",
    Kind.REGISTRATION: "REG",
    Kind.PLAN: "PLAN RTINTENT RTPLAN RTRAD RTRECORD",
    Kind.DOSE: "RTDOSE",
    Kind.WAVEFORM: "AU ECG EEG EMG EOG EPS HD POS RESP",
    Kind.OTHER: "CTPROTOCOL LS M3D OSS RWV SMR STAIN TEXTUREMAP XAPROTOCOL",
}


def test_every_defined_term_of_dicom_has_its_kind() -> None:
    load_shipped_vocabularies()
    kinds = dict(Modality.objects.values_list("code", "kind"))
    for kind, codes in DEFINED_TERMS.items():
        for code in codes.split():
            (term,) = find_terms("modality", [code])[code]
            assert (term.code, kinds[term.code]) == (code.lower(), kind)
