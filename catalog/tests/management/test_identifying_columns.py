"""``manage.py import_dataset`` leaves out what tells who somebody is, and keeps everything else."""

import csv
import json
import re
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pydicom import Dataset
from pydicom.datadict import dictionary_description, keyword_dict, tag_for_keyword

from catalog.imaging.dicom.identifying import is_listed
from catalog.importers.tables import identifying_cells
from catalog.models import Image
from catalog.tests.importers.folder_files import write_files

pytestmark = pytest.mark.django_db

TOML = b'[dataset]\nslug="t"\ntitle="T"\n[[table]]\npath="t.csv"\n[image]\nid="{id}"\n'
LISTED = [keyword for keyword, tag in keyword_dict.items() if is_listed(tag)]
LISTED.remove("LabelText")  # of a slide in files, of a finding in tables


@pytest.fixture
def home(own_folders: Path) -> Path:
    return own_folders / "datasets" / "t"


def import_row(
    home: Path, cells: dict[str, str], description: bytes = TOML
) -> tuple[str, dict[str, str]]:
    """What the command says of a table of one row, and what the catalog keeps of it."""
    table = StringIO(newline="")
    csv.writer(table).writerows([["id", *cells], ["1", *cells.values()]])
    write_files(home, {"t.csv": table.getvalue().encode(), "dataset.toml": description})
    out = StringIO()
    call_command("import_dataset", str(home), stdout=out, stderr=StringIO())
    return out.getvalue(), Image.objects.get().metadata_json


def split_words(keyword: str) -> list[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*s?", keyword)


def test_what_the_list_for_files_has_is_left_out_of_tables_by_any_spelling(home: Path) -> None:
    spellings = [
        spelling
        for keyword in LISTED
        for spelling in (
            keyword,
            f"{keyword}_DICOM",
            dictionary_description(tag_for_keyword(keyword) or 0),
            " ".join(split_words(keyword)),
            "_".join(split_words(keyword)).lower(),
            f"tags.{keyword.lower()}",
            f"dicom_{'_'.join(split_words(keyword)).lower()}",
            f"{tag_for_keyword(keyword):08X}",
        )
    ]
    columns = dict.fromkeys(spellings)
    assert len(columns) > 600

    _, kept = import_row(home, dict.fromkeys(columns, "Doe") | {"Modality": "CT"})

    assert kept == {"Modality": "CT"}


def test_further_names_births_and_numbers_are_left_out(home: Path) -> None:
    sure = ["born", "born_on", "geb", "geboren am", "year_born", "Date Born", "birth_yr",
            "birthyr", "dt_birth", "DtBirth", "patbirthdt", "née le", "nato il",
            "Mob. No", "BRTHDTC", "BRTHDAT", "birth_datetime", "birth_dttm", "BIRTH_TS", "BIRTHMO",
            "BIRTHYY", "PTDOBYY", "PTDOBMM", "dobyear", "BRTH_DT", "birth_dte", "FEC_NACIMIENTO",
            "FecNac", "F_NACIMIENTO", "fch_nac", "anio_nacimiento", "DT_NASCITA", "DT_NASCIM",
            "nombre_pac", "ap_paterno", "nom_usuel", "SUBJINIT", "mid_name",
            "date_naiss", "DATE_NAIS", "annee_naiss",
            "geburtsdat", "name_0_family", "name.0.given", "name_0_given_0", "NM_PACIENT",
            "NM_MAE_PAC", "NOMEPAC", "patient_fname", "pt_fname", "PTNT_NM", "CPR nr", "NASC",
            "DTNASCMAE",
            "AA_NASCIMENTO", "nascimento", "nacimiento", "nascita", "geburt", "CODMUNNASC",
            "HORANASC", "paciente_nascimento", "comune_nascita", "ENT_NAC", "fecha_nac_paciente",
            "COMNAIS", "ANAIS", "NUMERODN", "CODMUNNATU", "subject.display", "patientDisplay",
            "telecom.0.value", "Physician_1", "physician_2_name", "MAIDEN", "INVNAM", "SUBJINI",
            "nameAlias", "nameSpouseParent", "addrAtDxNoStreet", "NOMEPROF", "CPF_PROF", "NR_CPF",
            "NO_PACIENTE", "NO_MAE", "CNS_PACIENTE", "BYEAR", "BMONTH", "MYDOB", "indobyr",
            "mobirth", "rabyear", "NEWNHSNO", "HOMEADD", "NAISSANCE_DATE", "NASCIMENTO_DT",
            "BRTHDY", "Pat. Geb.", "INBIRYR", "INBIRMO", "MOMYOB", "DADYOB", "doby_dv",
            "dobm_dv", "dobmth", "ydob", "gebmonat", "CMBIRTH", "DBIRTH", "DOBIRTH", "DOBN",
            "BIRTHDTN", "BRTHDTN", "PDOB", "CDOB", "BRTDT", "fech_nac", "dn_paciente",
            "Jahr der Geburt", "FOEDDATO", "FOED_DAG", "fodselsdato", "foedselsaar",
            "BTH_YYYY", "BIRTH_YM", "GBAGEBOORTEJAAR", "DATA_NASCTO", "dt_nascto", "Brithdate",
            "N° Sécu", "Nº Historia", "Nº HC", "Nº SS", "NU_CEP", "NM_LOGRADO",
            "ID_CNS_SUS", "AP_CNSPCN", "NOMEPAI", "ENDRES", "CEPRES", "CompleteName",
            "patient_full", "نام خانوادگي", "تاريخ تولد", "كد ملي", "اســم المريض", "Nom d'usage",
            "Nato/a il", "D. nascita", "シメイ", "שם החולה", "İsim Soyisim", "D.Tarihi", "Д/р",
            "Ημ/νία γέννησης", "ת. לידה", "Dat. narození", "Meno a priezvisko",
            "Dátum narodenia", "F_NAC_PAC", "GEBJ", "geburtsj", "dte_nais", "D_NAISS",
            "fech_nacim", "fecha_nto", "BIRTHYRN", "date of brith", "DateOfBith", "birthdy",
            "GBAGEBOORTEMAAND", "BIRTHCNTRY", "NM_BAIRRO", "NU_DDD_TEL", "CPF_AUT",
            "GESTOR_CPF", "AP_CEPPCN", "AP_NOMEPCN", "Num Historia", "Cod. Fiscale",
            "№ истории болезни", "№ карты", "ת.ז.", "Isikukood", "Asmens kodas", "Kennitala",
            "জন্ম তারিখ", "تاریخ پیدائش", "medicareBeneficiaryIdentifier",
            "printed_name", "nok_name", "user_login", "gebjr", "geboortejr", "rok_narozeni",
            "NU_PRONTUA", "NU_CARTAO", "PTBIRPL", "hospnum", "HICN", "AMKA", "SNILS",
            "TCKN"]  # fmt: skip
    unsure = ["Name & Age", "NAME/AGE", "name_age_sex", "pname", "P_Name", "provider_name",
              "parent_name", "caregiver_name", "preferred_name", "previous name", "insured_name",
              "beneficiary_name", "rad_name", "tech_name", "md_name", "staff_name", "rater_name",
              "investigator_name", "student_name", "volunteer_name", "subj_name", "Name of parent",
              "cardiologist_name", "rad_initials", "raw_provider_name", "Ref_Physician", "RefPhys",
              "Ref Dr", "ReferringMD", "Entered By", "created_by", "HN", "PHN", "Admission No",
              "emr no", "member_id", "account_number", "medical record", "0010|0020", "(16,16)",
              "(16, 48)", "first", "Last", "Last, First", "Dictating Radiologist",
              "labelerLogin", "DM.BRTHDTC", "F.Nac", "name_0_text", "personnr", "Name/ID",
              "performer.display", "performer_0_actor_display", "author_display",
              "Observation.performer[0].display", "resource.subject.display",
              "resultsInterpreter.0.display", "patient.identifier.0.value",
              "participant.0.member.display", "attester.party.display", "DOBPatient",
              "informationSource.display", "OrderingMDLastName",
              "ReferringMDFirstName", "Name of doctor", "reader1_name", "R1_name", "physname",
              "phys_name", "member_name", "contact_person", "reviewed_by", "performed_by",
              "annotated_by", "recorded_by", "authorized_by", "PROV_NAME", "AUTHRZING_PROV_NAME",
              "Befunder", "Befundet von", "Untersucher", "Radiólogo informante",
              "Médecin demandeur", "Prescripteur", "Medico refertante", "N° dossier",
              "Médico peticionario", "Informado por", "Firmado por", "Überweiser",
              "Medico richiedente", "İsteyen Doktor", "Рентгенолог", "撮影者", "Bác sĩ", "Név",
              "الطبيب المعالج", "Lekarz opisujący", "Report Finalized By",
              "pi_name", "pcp_name", "principal_investigator", "lastModifiedBy", "completed_by",
              "acquired_by", "scanned_by", "consented_by", "dermatologist", "ophthalmologist",
              "pat_enc_csn_id", "person_source_value", "redcap_survey_identifier", "contact_info",
              "N_AIH", "Physician--Follow-Up"]  # fmt: skip
    texts = ["other_notes", "Additional comments", "RADIOLOGIST COMMENTS", "QC notes",
             "Reader notes", "nursing_note", "operative_note", "FINDINGS AND IMPRESSION",
             "rad_report", "report_final", "report_content", "report_html", "narrative report",
             "structured report", "English Report", "cytology_report", "patient_history",
             "history_of_present_illness", "HPI", "Conclusão", "laudo_texto", "texto_informe",
             "testo_referto", "verslagtekst", "Epikrise", "Fragestellung", "Klinische Angaben",
             "snippet", "COVAL", "ocr_text", "gpt4_summary", "text.div",
             "case_history", "gross_description",
             "Microscopic description", "ReportTXT", "translated_report", "op_note", "memo",
             "annotator_comments", "free_text_notes", "text_report", "section.text.div",
             "description_of_findings", "Renseignements cliniques", "textRemarks",
             "rxTextSurgery",
             "payload.contentString", "encounter_note", "document_text", "Text--Usual Occup",
             "Comment--system admin"]  # fmt: skip

    columns = ["0010|0010", *sure, *unsure, *texts]
    said, kept = import_row(home, dict.fromkeys(columns, "Doe"))

    assert kept == {}
    assert f"as they identify people: {', '.join(['0010|0010', *sure])}\n" in said
    assert f"as they may identify people: {', '.join(unsure)} (" in said
    assert f"as free text may name people: {', '.join(texts)} (" in said


def test_years_and_months_of_births_are_known_by_what_stands_beside_them(home: Path) -> None:
    births = {"p34": "1961", "f.52.0.0": "3", "p129_i0": "4", "130-0.0": "5", "20074-1.0": "6"}
    assert import_row(home, {"eid": "1", **births})[1] == {"eid": "1"}
    assert import_row(home, {"yob": "1961", "mob": "3"})[1] == {}

    assert import_row(home, usual := {"p34": "1", "p52": "2", "mob": "3", "p130": "4"})[1] == usual


def test_a_first_name_is_known_by_the_last_name_beside_it(home: Path) -> None:
    people = {"FNAME": "Jane", "LNAME": "Doe", "json": '{"fname": "Jane", "lname": "Doe", "a": 1}'}

    said, kept = import_row(home, people)
    assert kept == {"json": '{"a": 1}'}
    assert "as they may identify people: FNAME (" in said

    _, kept = import_row(home, {"fname": "a.png", "json": '{"fname": "a.png"}'})
    assert kept == {"fname": "a.png", "json": '{"fname": "a.png"}'}


def test_notes_within_fhirs_attachments_are_free_text_in_any_form(home: Path) -> None:
    note = "CjE5NjEtMDMtMDQKCiMgQ2hpZWYgQ29tcGxhaW50CkpvaGFubmEgRG9lcmluZyBpcyA0NSB5ZWFycyBvbGQu"
    attachment = {"contentType": "text/plain; charset=utf-8", "data": note}
    texts = {
        "presentedForm": json.dumps([attachment]),
        "presentedForm.0.data": note,
        "content_attachment_data": note,
        "attachment": json.dumps(attachment),
    }
    beside = {"resource.contentType": "text/plain", "resource.data": "PGRpdj5Eb2U8L2Rpdj4="}
    cells = {
        "content": json.dumps([{"attachment": attachment}]),
        "file": json.dumps({**attachment, "size": 3}),
        "written": note,
        "wrapped": "\n".join(note[start : start + 60] for start in range(0, len(note), 60)),
        "linked": f"data:text/plain;base64,{note}",
        "nested": json.dumps({"any": note, "a": 1}),
        "pdf": "JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PC9UaXRsZShEb2UpPj4KZW5kb2JqCg==",
    }
    usual = {
        "sha512": "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c",
        "mask": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9aw==",
        "icon": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4",
        "long": "a_very_long_name_of_a_protocol_that_has_no_space_in_it_at_all_2020",
        "sequence": "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVK",
        "data": "raw",
        "attachment_loss": "3 mm",
    }

    said, kept = import_row(home, texts | beside | cells | usual)

    assert kept == usual | {
        "resource.contentType": "text/plain",
        "content": "[{}]",
        "file": '{"contentType": "text/plain; charset=utf-8", "size": 3}',
        "nested": '{"any": "", "a": 1}',
    }
    assert f"as free text may name people: {', '.join(texts)} (" in said
    assert "as they may identify people: resource.data (" in said
    assert f"or cannot be read: {', '.join(sorted(cells))}\n" in said


def test_usual_columns_are_kept(home: Path) -> None:
    usual = ["age", "sex", "view", "case_id", "image_id", "slice_no", "lesion_name", "file name",
             "label_name", "class_name", "dataset_name", "protocol_name", "Protocol Name",
             "model name", "organ_name", "structure_name", "width", "height", "born_in_study",
             "newborn", "preterm_born", "birth_weight", "mode of birth", "age at birth",
             "peso_nacimiento", "name (en)", "class/name", "label (name)", "text_label",
             "context", "value", "comment_count", "occupation_class", "manufacturer_name",
             "scanner_name", "container_name", "layer name", "marker_name", "tumor_name",
             "cancer_name", "center_name", "vendor_name", "class_parent_name",
             "concept_preferred_name", "concept.preferred name", "rad_id", "reader_id", "rater",
             "provider", "tech", "staff", "visit_no", "order", "order_no", "cell_no", "client_id",
             "admission_type", "member", "emr", "medical", "recorded", "refdoc", "reference",
             "created", "created_at", "read_by_count", "site", "Institution", "institution_id",
             "branch", "rank", "phi", "(512,512)", "crop (16,16)", "sex_name", "ref_md5",
             "0028,0010", "history_of_cancer", "first_slice", "last visit", "first (image)",
             "subject_last_followup", "FNAC", "m_birth", "cpr_no", "patient_first_scan",
             "birth_order", "birth_mode", "births", "name_text_label", "first_fname_slice",
             "document_id", "study notes count", "named", "renamed", "page", "stage", "image name",
             "StudyInstanceUID", "Finding Labels", "View Position", "no_patients",
             "NoPatients",
             "MDLabel", "USImage", "code.display", "category_display", "value.display",
             "code.display", "display", "display_name", "modality.display", "subject.reference",
             "LOCNASC", "PESO_NASC", "TPNASCASSI", "tipo_nacimiento", "peso alla nascita",
             "peso (nascita)", "modo de nascimento", "Geburtsgewicht", "rang_naissance",
             "nascimentos", "NAC", "date_nac", "NIfTI", "Infant: birth-23 months",
             "OriginalImage[Width", "m_birth", "p_birth", "family_history", "technique",
             "other findings", "text_color", "summary_score", "segmented", "reader1_score",
             "n° coupe", "display_name", "birth_complications", "annotated", "operative",
             "description", "caption", "memory", "case", "gross", "noisy_text", "birthdtf",
             "response", "text_size", "summary",
             "content", "structured", "narrative_id", "phys_activity", "full"]  # fmt: skip

    _, kept = import_row(home, dict.fromkeys(usual, "some value"))

    assert kept.keys() == set(usual)


def test_cells_that_are_objects_but_no_json_are_judged_as_json_is(home: Path) -> None:
    cells = {
        "python": "{'PatientName': 'Doe', 'a': 1, 'b': [None, nan, (1, 2.5)], 'c': \"it's\"}",
        "listed": "[{'MRN': 'Doe', 'a': True}]",
        "pair": "{(16, 16): 'Doe', 'a': 1}",
        "nested": json.dumps({"a": "{'PatientName': 'Doe', 'b': 1}"}),
        "mark": '\ufeff{"PatientName": "Doe", "a": 1}',
        "lines": '{"PatientName": "Doe", "a": 1}\n{"a": 2}',
        "comma": '{"PatientName": "Doe", "a": 1,};',
        "bare": '{PatientName: "Doe", a: 1}',
        "element": "[{'vr': 'PN', 'Value': 'Doe'}, {'a': 1}]",
        "task": '[{"for": {"reference": "https://a.org/Patient/1", "display": "Doe"}},'
        ' {"target": {"type": "Practitioner", "display": "Doe"}},'
        ' {"partOf": {"reference": "Encounter/1", "display": "CT"}}]',
        "contained": '[{"text": {"status": "additional", "div": "<div>Doe</div>"}}]',
        "fhir": '{"subject": {"display": "Doe"}, "performer": [{"actor": {"display": "Roe"}}],'
        ' "code": {"display": "CT"}}',
    }
    unread = {
        "call": "{'date': date(2020, 1, 1), 'PatientName': 'Doe'}",
        "torn": "{'PatientName': 'Doe', 'a': ",
        "ordered": "{'a': OrderedDict([('PatientName', 'Doe')])}",
        "fence": '```json\n{"PatientName": "Doe"}\n```',
        "person": "{'a': x(), 'vr': 'PN', 'Value': 'Doe'}",
        "split": '{"columns": ["StudyDate", "PatientName"], "data": [["2020", "Doe"]]}',
        "answer": '[{"field_name": "patient_name", "value": "Doe"}]',
        "asked": '{"question": "Date of birth", "answer": "1950"}',
        "replied": '[{"question": "Date of birth", "response": "1961-03-04"}]',
        "linked": '[{"linkId": "dob", "answer": [{"valueDate": "1961-03-04"}]}]',
        "mother": '[{"url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName",'
        ' "valueString": "Sherie Weber"}]',
        "extended": '[{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",'
        ' "valueDateTime": "1961-03-04T10:00:00Z"}]',
        "item": '[{"text": "Name", "answer": [{"valueString": "Doe"}]}]',
        "coded": '[{"code": {"text": "Date of birth"}, "valueDateTime": "1961-03-04"}]',
        "coding": '[{"code": {"coding": [{"display": "Birth date"}]}, "valueDate": "1961-03-04"}]',
        "owner": "john.doe@example.org",
        "made": "created by j.d@mail.example.org, checked",
        "completed": '{"email_of": "john@example.org"}',
        "votes": '{"jane@example.org": 1}',
        "sr": '[{"concept": "Observer", "type": "PNAME", "value": "Doe^John"}]',
        "number": '[{"type": {"text": "Social Security Number"}, "value": "999-12-3456"}]',
        "system": '[{"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-12-3456"}]',
        "rows": '{"fields": ["StudyDate", "PatientName"], "rows": [["2020", "Doe"]]}',
        "header": '{"header": ["PatientName"], "data": [["Doe"]]}',
        "values": '{"columns": [{"name": "PatientName"}], "values": [["Doe"]]}',
    }

    said, kept = import_row(home, cells | unread)

    assert {name: json.loads(text) for name, text in kept.items()} == {
        "python": {"a": 1, "b": [None, pytest.approx(float("nan"), nan_ok=True), [1, 2.5]],
                   "c": "it's"},
        "listed": [{"a": True}],
        "pair": {"a": 1},
        "nested": {"a": '{"b": 1}'},
        "mark": {"a": 1},
        "lines": [{"a": 1}, {"a": 2}],
        "comma": {"a": 1},
        "bare": {"a": 1},
        "element": [{"a": 1}],
        "task": [{"for": {"reference": "https://a.org/Patient/1"}},
                 {"target": {"type": "Practitioner"}},
                 {"partOf": {"reference": "Encounter/1", "display": "CT"}}],
        "contained": [{"text": {"status": "additional"}}],
        "fhir": {"subject": {}, "performer": [{"actor": {}}], "code": {"display": "CT"}},
    }  # fmt: skip
    assert f"or cannot be read: {', '.join(sorted(cells | unread))}\n" in said


def test_texts_that_have_a_name_and_its_value_are_left_out(home: Path) -> None:
    printed = Dataset()
    printed.PatientName, printed.Modality = "Doe^John", "CT"
    cells = {
        "printed": str(printed),
        "dumped": "(0008,0060) CS [CT]  # 2, 1 Modality\n(0010,0010) PN [Doe]  #  4, 1 PatientName",
        "xml": "<?xml version='1.0'?><scan><PatientName>Doe</PatientName></scan>",
        "model": '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName">',
        "ordered": "OrderedDict([('Modality', 'CT'), ('PatientName', 'Doe')])",
        "pairs": '[["PatientName", "Doe"]]',
        "row": "Row(Modality='CT', PatientName='Doe')",
        "default": "defaultdict(<class 'str'>, {'PatientName': 'Doe'})",
        "lines": "Modality: CT\nPatient Name: Doe\nDOB: 1950-01-01",
        "options": "modality=CT;patient_name=Doe",
        "inner": '{"header": "PatientName: Doe"}',
    }

    said, kept = import_row(home, cells)

    assert kept == {"inner": '{"header": ""}'}
    assert f"or cannot be read: {', '.join(sorted(cells))}\n" in said


def test_headers_that_programs_print_are_left_out_in_any_notation_of_a_tag(home: Path) -> None:
    cells = {
        "imagej": "0028,0010  Rows: 512\n0010,0010  Patient's Name: DOE^JOHN\n",
        "dcdump": "(0x0010,0x0010) PN Patient's Name \t VR=<PN>   VL=<0x0008>  <DOE^JOHN>",
        "itk": '(0010|0030) = = "19610304"',
        "meta": "0010|0010 = DOE^JOHN",
        "attr": '<dicom><attr tag="00100010" vr="PN" len="8">DOE^JOHN</attr></dicom>',
        "element": '<element tag="0010,0010" vr="PN" vm="1" len="8">DOE^JOHN</element>',
        "private": '<element tag="0099,0010" vr="PN" vm="1" len="8">DOE^JOHN</element>',
        "nrrd": "DICOM_0010_0010:=DOE^JOHN",
        "slicer": "DICOM_0010_0010_PatientName:=DOE^JOHN",
        "afni": "0010 0010 8 [338     ] //              PAT Patient Name//DOE^JOHN",
        "gdcm": "(0010,0010) ?? (PN) [DOE^JOHN ]         # 8,1 Patient's Name",
        "csv": "(0010,0010),PN,8,Patient's Name,DOE^JOHN",
        "words": "PatientAge 045Y\nPatientName DOE^JOHN",
        "series": "PatientAge     045Y\nPatientName    Doe\ndtype: object",
        "lists": "[['00100010', 'DOE^JOHN']]",
        "tuples": "[((16, 16), 'DOE^JOHN')]",
        "fhir": '<Patient><name><family value="Doe"/><given value="John"/></name></Patient>',
        "cda": "<patient><name><given>John</given></name></patient>",
        "value": '<person><birthDate value="1961-03-04"/></person>',
        "ome": '<Experimenter ID="E:0" FirstName="John" LastName="Doe"/>',
    }

    said, kept = import_row(home, cells)

    assert kept == {}
    assert f"or cannot be read: {', '.join(sorted(cells))}\n" in said


def test_names_before_values_are_known_in_every_language_of_columns(home: Path) -> None:
    cells = {
        "de": "Größe: 180; Geburtsdatum: 04.03.1961",
        "fr": "Nom: Doe; Prénom : Jean",
        "es": "Nombre: Juan; Apellidos: Pérez",
        "it": "Cognome=Rossi",
        "pt": "Data de nascimento: 04/03/1961",
        "nl": "Geboortedatum: 4-3-1961",
        "zh": "性别：男；姓名：张三",
        "ja": "氏名＝山田",
        "ru": "Пол: М; Дата рождения: 04.03.1961",
        "tr": "doğum tarihi: 04.03.1961",
        "bare": "Name: DOE JOHN, Age: 45, Sex: M",
        "facts": "Nombre: Juan\nEdad: 45",
        "next": "Patient Name:\n  John Doe\nModality: CT",
    }

    said, kept = import_row(home, cells)

    assert kept == {}
    assert f"or cannot be read: {', '.join(sorted(cells))}\n" in said


def test_names_are_found_whatever_parts_them_from_values_and_each_other(home: Path) -> None:
    texts = [
        "Modality=CT PatientName=DOE^JOHN", "PatientID=1 PatientName=DOE",
        "Age: 45 Sex: M DOB: 03/04/1961", "Age: 45 Name: John Doe Sex: M", "id=3 name=Doe age=45",
        "Sexe: M Date de naissance: 04/03/1961", "Exam: CT. Patient Name: DOE^JOHN. Age: 45.",
        "Report for patient name: John Doe", "Age: 45 MRN: 12345", "Exam: CT • DOB: 1961-03-04",
        "Date of Birth 03/04/1961", "45 M DOB 4 Mar 1961", "John Doe (born 03/04/1961)",
        "Patient's Name DOE^JOHN", "patient name John Doe", "Last Name Doe First Name John",
        "PatientName, DOE^JOHN", "PatientName;DOE^JOHN;PatientSex;M", "(0010,0010);PN;DOE",
        "PatientName [DOE]", '"PatientName","DOE^JOHN"', "('姓名', '张三')", "('MRN', '12345')",
        "| DOB | 1961-03-04 |", "Patient Name\nJohn Doe", "patient:\n  name: John Doe",
        "MSH|^~\\&|X\rPID|1||12345||DOE^JOHN||19610304|M",
        "D.O.B: 03/04/1961", "Exam: CT. D.O.B.: 03/04/1961", "D.O.B. 03/04/1961",
        "Né(e) le : 04/03/1961", "Nacido(a) el: 04/03/1961", "Name/Age: John Doe/45",
        "NAME: John Smith  AGE/SEX: 45/M", "Name: John Smith Sex and age: M, 45",
        "MRN#12345", "MRN# 12345", "CT, Acc#12345", "Patient: John Doe", "PATIENT: DOE, JOHN",
        "Patient             : Doe^John (M, 19610304, #12)", "Pt: Mr. Smith",
        "CT of Patient: Hans-Peter Müller, 45 y", "Paciente: Juan Pérez",
        "Paciente: Maria de Souza", "Patient: Leonardo da Vinci", "Patient: Smith, J.",
        "Pat.: Müller, Hans", "Пациент: Иванов Иван", "Attending Physician: JOHN SMITH MD",
        "CT. Reported by: Dr. Smith", "Radiologist: Jane Doe", "Médico: Dr. Pérez",
        "Снимок. ФИО: Иванов Иван", "胸片。姓名：张三", "胸片 姓名：张三",
        "胸部X線 氏名：山田太郎",
        "흉부. 성명: 홍길동", "RTG. Nazwisko: Kowalski", "Grafi. Soyadı: Yılmaz",
        "RX. CPF: 123.456.789-09",
        "Film. Name: John Smith, Age: 4", "Chest. Address: 1 Main St, Boston", "CXR. Initials: JD",
        "Seen today. Phone: 617-555-1234", "Chest film SSN: 444-22-2222", "CT. geb. 04.03.1961",
        "检查报告单 姓名：张三 性别：男", "Отчет ФИО: Иванов Иван", "born on 4 March 1961",
        "né le 04/03/1961", "nato il 4.3.1961", "nacido el 04-03-1961", "Attending: John Smith",
        "Ref. By: Dr. John Smith", "Consultant: Mr John Smith", "Reader: John Smith",
        "患者：张三，男，45岁",
        "病人: 欧阳小明 女", "환자: 홍길동 (남/45세)", "患者：山田太郎、45歳",
        "CT。报告医师:李四", "読影医：山田太郎", "判讀醫師：王小明 2020", "판독의: 김철수",
        "**Patient:** John Smith", "<td>Patient</td><td>John Smith</td>",
        "<Radiologist>John Smith</Radiologist>", "Doktor: Ahmet Yılmaz", "Pacient: Jan Novák",
        "Bệnh nhân: Nguyễn Văn An", "Ασθενής: Γιώργος Παπαδόπουλος", "Врач: Иванов И.И.",
        "Radiology Report Name: John Smith Age: 45", "Informe Nombre: Juan Pérez Edad: 45",
        "RADIOLOGY REPORT NAME: JOHN SMITH AGE/SEX: 45/M", "year of birth 1961", "YOB 1961",
    ]  # fmt: skip
    cells = {f"c{n}": text for n, text in enumerate(texts)}

    _, kept = import_row(home, cells)

    assert kept == {}


def test_names_are_found_in_markup_of_any_kind(home: Path) -> None:
    texts = [
        '<property name="PatientName" value="Doe"/>', "<property name=PatientName value=Doe>",
        "<patient name=Doe age=45>", "<PatientName><![CDATA[DOE^JOHN]]></PatientName>",
        "<PatientName><!-- x -->DOE</PatientName>", "<!-- PatientName: DOE^JOHN --><a/>",
        "<key>PatientName</key><string>DOE^JOHN</string>",
        "<entry><key>PatientName</key><value>DOE</value></entry>",
        "<tr>\n <th>Patient Name</th>\n <td>Doe</td>\n</tr>",
        '<td class="l">Patient Name</td><td class="r">Doe</td>',
        "<td>Name</td><td>John Doe</td><td>Age</td><td>45</td>",
        "<dt>Geburtsdatum</dt><dd>04.03.1961</dd>", "<dt>DOB</dt><dd>1961-03-04</dd>",
        "<b>Patient Name:</b> John Doe", "Modality: CT<br>PatientName: DOE^JOHN",
        '<contains PNAME:(,,"Observer Name")="Doe^John">', "<PatientName: Doe John>",
        '<has obs context DATE:(121031,DCM,"Subject Birth Date")="19610304">',
        "<Patient: Doe^John> chest",
    ]  # fmt: skip
    cells = {f"c{n}": text for n, text in enumerate(texts)}

    _, kept = import_row(home, cells)

    assert kept == {}


def test_texts_of_findings_and_settings_stay_in_any_notation(home: Path) -> None:
    texts = [
        "T1w: TR=500 TE=12", "Findings: no acute disease. Impression: normal", "Name of device: GE",
        "<b>CT</b> chest", "Operator: GE", "birth cohort study", "DOB = date of biopsy",
        '{"RepetitionTime": 2.5, "Manufacturer": "GE"}', "Sex: F Age: 45 View: PA",
        "Modality: CT Manufacturer: GE Protocol Name: CT head", "Sex: M Protocol Name: CT head",
        "Findings: Mass in the left breast, BI-RADS: 4", "ER: 90% PR: 80% HER2: neg",
        "Microscopy: adenocarcinoma (G2) [pT3 pN1]", "Fig. 1 (a) CT, (b) MRI: tumour [arrow]",
        "Clinical history: cough (3 days). Findings: clear lungs", "p<0.05, n=30; CI [1,2]",
        "Density: B (ACR) Side: L View: CC", "T2w: hyperintense; DWI: restricted (b=1000)",
        "<p>Chest <i>X-ray</i> of a child: normal</p>", "<tr><th>Modality</th><td>CT</td></tr>",
        "<th>Name</th><th>Age</th><th>Sex</th>", "<td>name</td><td>liver</td><td>3</td>",
        "<key>PatientName</key><string></string><key>Modality</key><string>CT</string>",
        "<td>Patient Name</td><td>removed</td>", '<property name="PatientName" value=""/>',
        "<PatientName><!-- removed --></PatientName>", "<PatientName></PatientName><ID>P1</ID>",
        "Name: melanoma; sex: male", "Name: lesion 3; Age: 45", "Physician: resident; grade: 3",
        "Birth weight: 3200 g Gestational age: 32 weeks", "Mode of birth: vaginal Age: 0",
        "file name: a.png Age: 45 Sex: M", "image:\n  name: a.png\n  age: 3",
        "Dataset full name: Mini-MIAS", "Series Description: head^routine", "name: x\nTR: 500",
        "Patient name: anonymous Age: 45", "PatientName=ANON_001 Modality=CT",
        "PatientName: PatientID: 3 Modality: CT", "Patient Name:\nSlice thickness: 3",
        "PatientName PatientAge StudyDate", "Patient Name | Patient Age", "Date of Birth, Sex, Age",
        "Patient Name, Patient ID and Date of Birth were removed", "DOB not available",
        "Patient: Breast Cancer", "Patient: Supine Position", "Patient: Male", "Patient: P0032",
        "Radiologist: consensus of two", "Reported by: Radiology Department", "Read by: AI Model",
        "Surgeon: General Surgery", "Doctor: yes",
        "Patient: Not Available", "Patient: 45 year old", "patient: stable; CT", "Patient 3: CT",
        "Slice#12 of Case# 4", "D.O.B.: not available", "C.T. of the chest: normal (e.g. 3)",
        '<contains TEXT:(,,"Finding")="Mass">', '<contains PNAME:(,,"Observer Name")="">',
        "Age/Sex: 45/M", "Name: lesion 3  AGE/SEX: 45/M",
        "born at 38 weeks", "born preterm, 2500 g", "twin born 3 days ago", "rib 4 né 3",
        "胸片 左侧：结节", "CT. Name: melanoma; sex: male", "Series 3. Protocol Name: CT, Age: 4",
        "Reader: Reader One", "Consultant: none", "<Reader>R1</Reader>",
        "STATION NAME: GE CT, AGE: 45",
        "患者：老年男性，75岁", "患者：高血压", "患者：女，45岁", "患者：中年，女",
        "报告医师：未知", "환자: 남자, 45세", "読影医：二名の専門医による合議", "医师：主任",
        "Hasta: Sol Akciğer", "Station Name: Philips Achieva Age: 45", "Врач: рентгенолог",
        "Report Name: chest 2 Age: 45", "year of birth unknown", "reborn on 4 March 1961",
        "<th>Patient</th><th>Left Lung</th>", "Attending: yes; CT: no",
        "Date of biopsy 03/04/2019", "The patient name was removed, see (0010,0010)",
    ]  # fmt: skip
    cells = {f"c{n}": text for n, text in enumerate(texts)}

    said, kept = import_row(home, cells)

    assert kept == cells
    assert "cannot be read" not in said


def test_names_without_a_value_of_anybody_tell_nothing(home: Path) -> None:
    cells = {
        "anonymous": "PatientName = anonymous; PatientBirthDate = ",
        "code": "PatientName: ANON_001",
        "none": "PatientName: None, PatientBirthDate: 19000101, Modality: CT",
        "absent": "(0010,0010) PN (no value available)   #   0, 0 PatientName",
        "brackets": "(0010,0010) PN []  # 0, 0 PatientName\n(0008,0080) LO [removed]",
        "quotes": "(0010, 0010) Patient's Name                      PN: ''",
        "itk": '(0010|0010) = = ""',
        "imagej": "0010,0010  Patient's Name: \n0010,0030  Patient's Birth Date: ",
        "dcdump": "(0x0010,0x0010) PN Patient's Name \t VR=<PN>   VL=<0x0000>  <>",
        "xml": '<element tag="0010,0010" vr="PN" len="0" name="PatientName"></element>',
        "removed": "Patient name: removed by the hospital; Modality: CT",
        "public": "Accession: GSE12; Accession number: SAMN02; accession=PRJNA12",
        "section": "Birth: C-section",
        "preterm": "birth=preterm (birth: 3.2 kg)",
        "week": "geb: 38 SSW",
        "way": "Nascimento: vaginal; Geburt: Sectio",
        "many": "".join(f"gene{chr(n)}x=0.1;" for n in range(0x4E00, 0x5600)),
        "system": "Phone: Apple; OS: iOS",
        "camera": "phone: yes, camera: no",
        "link": "image.png (address: …)",
        "said": "The tags PatientName (0010,0010) and PatientBirthDate (0010,0030) were removed.",
        "columns": '["PatientName", "PatientAge"]',
        "header": "PatientName|PatientAge|StudyDate",
    }

    said, kept = import_row(home, cells)

    assert kept == cells
    assert "cannot be read" not in said


def test_runs_between_the_parts_of_a_text_are_read_at_once(home: Path) -> None:
    """Twice as many spaces took eight times as long: from 20,000 on hours."""
    starts = ["('PatientX name',", "['name", "name =", "{'a'", "(0010,0010)"]
    runs = [" ", "(", "'", '= "', "('a',", "<a", "0010,0010 "]
    texts = [f"{start}{(run * 199_000)[:199_000]}(" for start in starts for run in runs]
    runs = [
        "PID|",
        "DOB: ",
        "Patient Name ",
        "a. ",
        "<a>b</a>",
        "<!--",
        ": ,",
        "a'",
        "D.",
        "Patient: ",
        "MRN#",
        "PNAME:(",
        "<a b='c' ",
    ]
    texts += [f"<a {(run * 99_000)[:199_000]}" for run in [*runs, "name=x value=y "]]
    texts += [f"<{'x_0010_0010' * 9_000}{run * 20_000}>" for run in (" v='b'", "><a/")]
    table = StringIO(newline="")
    csv.writer(table).writerows([["id", "cell"], *enumerate([*texts, "usual"])])
    write_files(home, {"t.csv": table.getvalue().encode(), "dataset.toml": TOML})

    before = time.process_time()
    call_command("import_dataset", str(home), stdout=StringIO(), stderr=StringIO())

    assert time.process_time() - before < 30
    assert Image.objects.filter(metadata_json={"cell": "usual"}).exists()


def test_texts_that_the_description_names_stay(home: Path) -> None:
    description = TOML + b'\n[metadata]\nkeep = ["Report"]\n'
    report = "DOB: 1950-01-01. Findings: none."

    _, kept = import_row(home, {"Report": report, "other": report}, description)

    assert kept == {"Report": report}


def test_cells_that_tell_nobody_stay_as_they_are(home: Path) -> None:
    cells = {
        "box": "{'x': 1.50, 'y': -3e5, 'label': 'left lung'}",
        "objects": "[{'name': 'liver', 'bbox': (1, 2)}]",
        "rois": '{"name": "left lung", "volume": 3}',
        "race": '[{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",'
        ' "extension": [{"url": "text", "valueString": "White"}]}]',
        "observed": '[{"code": {"text": "Body Weight"}, "valueQuantity": {"value": 70}}]',
        "entities": '[{"type": "nodule", "text": "a nodule", "value": 3, "code": "R91.1"}]',
        "table": '{"columns": ["name", "age"], "index": [0], "shape": [1, 2]}',
        "scale": '[{"system": "http://unitsofmeasure.org", "code": "kg", "value": 70}]',
        "kinds": '[{"type": "PN", "value": 3}, {"url": "https://a.org/name.png", "value": 1}]',
        "keypoints": '[{"name": "apex", "x": 1}]',
        "call": "{'date': date(2020, 1, 1), 'score': array([1, 2])}",
        "set": "{'a', 'b'}",
        "formula": "{x}: y = {z}",
        "words": "[see {a}; Findings: b]",
        "torn": "{'x': 1, 'y': ",
        "braces": "Report: {none}",
        "spaces": '{"a":   1}',
        "path": "s3://bucket/patient001/study=2/view1.dcm?name=x",
        "windows": r"C:\data\patient_name\a.png",
        "time": "2020-01-01T12:30:00",
        "prose": "The patient's address was removed: see the paper (0010 of 0020)",
        "settings": "window=400; filename: a.dcm; Protocol Name: CT head",
        "shown": "Modality: CT (0008,0060) CS",
        "url": "https://example.org/api?persistentId=doi:10.1/2&address=3&name=x",
        "thing": "Nombre: hígado; volumen: 3",
        "caption": "Chest X-ray of a newborn: ground-glass opacity",
        "place": "crop 0010,0010 px; series 00100010 CT",
        "scanner": "operator=GE; patient=12",
        "voc": "<annotation><owner><name>x</name></owner><object><name>cat</name></object>",
        "retina": "icon@2x.png",
        "bucket": "s3://key@bucket.example.org/a.png",
        "repository": "git@github.com:org/data.git",
        "version": "model@v1.2 mean@iou, p@0.5",
        "choices": '["phone", "name", "cat"]',
    }

    said, kept = import_row(home, cells)

    assert kept == cells
    assert "cannot be read" not in said


def test_a_cell_of_very_many_keys_is_left_out_unjudged(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []

    def judge(parent: str, key: str) -> bool:
        judged.append(key)
        return False

    monkeypatch.setattr(identifying_cells, "is_identifying_within", judge)
    many = {
        "json": json.dumps({f"key {n}": n for n in range(9_999)}),
        "python": str({f"key {n}": n for n in range(9_999)}),
        "torn": "{" + "".join(f"key{n}: {{1 1}}," for n in range(9_999)),
    }
    usual = json.dumps([{"x": n, "y": n} for n in range(2_000)])

    said, kept = import_row(home, {**many, "usual": usual})

    assert kept == {"usual": usual}
    assert set(judged) == {"x", "y"}
    assert f"too many keys, or cannot be read: {', '.join(many)}\n" in said
