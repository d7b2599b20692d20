"""Dirty values, by table; no database."""

import pytest
from pydicom.datadict import dictionary_VR, keyword_dict

from catalog.imaging.dicom.header import METADATA_KEYWORDS
from catalog.importers.parsers import (
    NotAList,
    Reading,
    clean,
    parse_age,
    parse_age_between,
    parse_count,
    parse_list,
    parse_number,
    parse_sex,
    parse_share,
)
from catalog.importers.tables.identifying_columns import (
    is_bare_name,
    is_free_text,
    is_identifying,
    is_identifying_within,
    is_left_out,
    may_identify,
)

UNKNOWN = Reading(None)
UNCLEAR = Reading(None, exact=False)


@pytest.mark.parametrize(
    "text",
    ["", "  ", "nan", "NaN", "None", "NA", "n/a", "N/A", "-", "null", "<NA>", " nan ", ".", "'--"],
)
def test_words_that_mean_nothing_are_empty(text: str) -> None:
    assert clean(text) == ""
    assert parse_age(text) == parse_number(text) == parse_count(text) == UNKNOWN
    assert parse_sex(text) == Reading("")
    assert parse_list(text) == []


def test_other_words_lose_only_the_blanks_around_them() -> None:
    assert clean("  No  Finding \n") == "No  Finding"
    assert clean("nane") == "nane"


# --- Ages ---
@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("57", 57),
        ("57.0", 57),
        ("57,5", 57.5),
        (" 57 ", 57),
        ("0", 0),
        ("0 years", 0),
        ("0y", 0),
        ("000D", 0),
        ("129", 129),
        ("057", 57),
        ("058Y", 58),
        ("006M", 0.5),
        ("007m", 0.5833),
        ("026W", 0.4983),
        ("010D", 0.0274),
        ("057Y ", 57),
        ("57 years", 57),
        ("57 Years old", 57),
        ("57yo", 57),
        ("57 y/o", 57),
        ("6 months", 0.5),
        ("57 yrs.", 57),
        ("18 MO", 1.5),
    ],
)
def test_ages_are_read(text: str, years: float) -> None:
    assert parse_age(text) == Reading(years)


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("50+", 50),
        ("90 +", 90),
        (">89", 90),
        ("> 89", 90),
        (">=90", 90),
        ("≥90", 90),
        ("<1", 0),
        ("~40", 40),
        ("50-59", 50),
        ("50 – 60", 50),
        ("50 to 59 years", 50),
    ],
)
def test_of_open_ages_the_bound_is_taken_but_not_as_exact(text: str, years: float) -> None:
    assert parse_age(text) == Reading(years, exact=False)


@pytest.mark.parametrize(
    "text",
    ["-5", "130", "412", "1954", "400Y", "999Y", "000Y", "0Y ", "000y", "M ", "M", "adult", "5/7",
     "<18", "0-18", "1e3", "59-50", "57 parsecs", "57 58", "٥٧", "9" * 5000, "inf"],
)  # fmt: skip
def test_ages_that_nobody_has_are_unknown_and_unclear(text: str) -> None:
    assert parse_age(text) == UNCLEAR


def test_a_bare_age_counts_in_the_unit_of_its_table() -> None:
    assert parse_age("18", unit="months") == Reading(1.5)
    assert parse_age("400", unit="days") == Reading(1.0951)
    assert parse_age("18Y", unit="months") == Reading(18)


@pytest.mark.parametrize(
    ("born", "studied", "years"),
    [
        ("1930.0", "20140915", 84),
        ("1930", "2014", 84),
        ("19550820", "20110328", 55),
        ("19550820", "20110820", 56),
        ("1955-08-20", "2011-08-19T12:00:00", 55),
        ("20/08/1955", "2011-03-28", 56),
        ("20100115", "20110314", 1.0833),
        ("20110314", "20110314", 0),
    ],
)
def test_two_dates_make_an_age(born: str, studied: str, years: float) -> None:
    assert parse_age_between(born, studied) == Reading(years)


@pytest.mark.parametrize(
    ("born", "studied"),
    [("20150101", "20140915"), ("1600", "2014"), ("1830", "2014"), ("1930", "yesterday"),
     ("19550230", "20140101"), ("1930", "99999999"), ("1900-01-01", "2014-01-01")],
)  # fmt: skip
def test_impossible_dates_make_none(born: str, studied: str) -> None:
    assert parse_age_between(born, studied) == UNCLEAR


@pytest.mark.parametrize(("born", "studied"), [("", "2014"), ("1930.0", "nan")])
def test_a_missing_date_makes_no_age(born: str, studied: str) -> None:
    assert parse_age_between(born, studied) == UNKNOWN


# --- Sexes ---
@pytest.mark.parametrize(
    ("text", "sex"),
    [
        ("M", "M"),
        ("M ", "M"),
        ("m", "M"),
        ("Male", "M"),
        ("MALE", "M"),
        ("F", "F"),
        ("female", "F"),
        ("W", "F"),
        ("Mujer", "F"),
        ("O", "O"),
        ("other", "O"),
        ("U", ""),
        ("Unknown", ""),
    ],
)
def test_sexes_are_read(text: str, sex: str) -> None:
    assert parse_sex(text) == Reading(sex)


@pytest.mark.parametrize("text", ["0000", "1", "X", "Y", "057Y", "MF"])
def test_other_words_are_no_sex(text: str) -> None:
    assert parse_sex(text) == Reading("", exact=False)


# --- Numbers ---
@pytest.mark.parametrize(
    ("text", "number"),
    [("1024", 1024), ("1024.0", 1024), ("2,682", 2682), ("1,234,567.5", 1234567.5), ("57,5", 57.5),
     ("-1.42", -1.42), ("5.115000e+02", 511.5), (".5", 0.5), ("0,1234", 0.1234), ("+3", 3)],
)  # fmt: skip
def test_numbers_are_read(text: str, number: float) -> None:
    assert parse_number(text) == Reading(number)


@pytest.mark.parametrize(
    "text", ["12px", "1_000", "1e999", "infinity", "0x10", "1,2,3", "1 000", "１２", "1" * 5000]
)
def test_other_texts_are_no_numbers(text: str) -> None:
    assert parse_number(text) == UNCLEAR


@pytest.mark.parametrize(
    ("text", "count"),
    [("1024", 1024), ("1024.0", 1024), ("2,682", 2682), ("0512", 512), ("2147483647", 2**31 - 1)],
)
def test_counts_are_read(text: str, count: int) -> None:
    assert parse_count(text) == Reading(count)


@pytest.mark.parametrize("text", ["0", "-1", "3.5", "2147483648", "many", "9" * 30])
def test_other_texts_are_no_counts(text: str) -> None:
    assert parse_count(text) == UNCLEAR


def test_large_counts_are_exact_to_the_last_digit() -> None:
    assert parse_count("9007199254740993", most=2**63) == Reading(9007199254740993)


@pytest.mark.parametrize(
    ("text", "reading"),
    [("0.85", Reading(0.85)), ("85%", Reading(0.85)), ("85 %", Reading(0.85)), ("1", Reading(1)),
     ("85", UNCLEAR), ("-0.1", UNCLEAR), ("high", UNCLEAR), ("", UNKNOWN)],
)  # fmt: skip
def test_shares_lie_between_0_and_1(text: str, reading: Reading) -> None:
    assert parse_share(text) == reading


# --- Lists ---
@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[]", []),
        ("['normal']", ["normal"]),
        ("['nodule', ' pleural effusion ']", ["nodule", "pleural effusion"]),
        ("['nodule', '', nan, None]", ["nodule"]),
        ("""["Barrett's", 'a "b"']""", ["Barrett's", 'a "b"']),
        (r"['it\'s', 'a\nb']", ["it's", "a\nb"]),
        ('["a", "b"]', ["a", "b"]),
        (r'["caf\u00e9"]', ["café"]),
        ("['C0034069' 'C0742362'\n 'C2115817']", ["C0034069", "C0742362", "C2115817"]),
        ("('a', 'b',)", ["a", "b"]),
        ("{'a'}", ["a"]),
        ("[1, 2.5]", ["1", "2.5"]),
        ("[nodule, mass]", ["nodule", "mass"]),
        ("nodule", ["nodule"]),
        ("['a,b', 'c']", ["a,b", "c"]),
    ],
)
def test_lists_are_read(text: str, items: list[str]) -> None:
    assert parse_list(text) == items


@pytest.mark.parametrize(
    "text",
    [
        "['a', 'b'",
        "[['a'], ['b']]",
        "['a",
        "['it's']",
        "[,]",
        "[" * 100_000,
        "['a'}x",
        "[",
        "[f('x')]",
        "['a''b']",
    ],
)
def test_torn_and_nested_lists_are_not_guessed_at(text: str) -> None:
    with pytest.raises(NotAList, match=r"\['one', 'two'\]"):
        parse_list(text)


def test_what_no_database_stores_does_not_come_out_of_a_list() -> None:
    assert parse_list(r'["a\ud800b", "c\u0000"]') == ["a\ufffdb", "c\ufffd"]


def test_nothing_in_a_list_is_evaluated() -> None:
    assert parse_list("['a' + 'b', 1/0]") == ["a", "+", "b", "1/0"]


# --- Privacy ---
@pytest.mark.parametrize(
    "column",
    ["Patient's Name", "PatientName", "patient_name", "First Name", "surname", "PatientBirthDate",
     "Patient's Birth Date", "PatientBirth", "PatientBirth_DICOM", "date of birth", "DOB",
     "birth_year", "Address", "Patient Address", "zip code", "Phone", "telephone_number", "E-mail",
     "SSN", "MRN", "medical record number", "Accession Number", "AccessionNumber",
     "Referring Physician's Name", "Operators' Name", "OtherPatientIDs", "Pt Name", "pat_name",
     "name_last", "Name of patient", "Phone No", "Phone Nr.", "NHS Number", "nhs_no",
     "Hospital Number", "Initials", "patientInitials", "username", "user_name", "login",
     "Phone 2", "MRN_x", "address_line_1", "PlaceOfBirth", "mother_name", "health insurance no",
     # German
     "Nachname", "Vorname", "Familienname", "Mädchenname", "Maedchenname", "PatientenName",
     "Name des Patienten", "Geburtsdatum", "geburts_datum", "GebDatum", "Geb.-Datum",
     "Geburtsort", "Straße", "STRASSE", "PLZ", "Postleitzahl", "Wohnort", "Telefonnummer",
     "Handynummer", "Versichertennummer", "Überweisender Arzt", "ueberweisender_arzt", "Hausarzt",
     # French
     "Prénom", "Nom de famille", "nom_patient", "NomPrenom", "Date de naissance",
     "lieu de naissance", "DDN", "Code postal", "Numéro de téléphone", "Médecin traitant",
     "Numéro de sécurité sociale", "nom d'utilisateur",
     # Spanish
     "Apellidos", "primer_apellido", "Nombre del paciente", "NombrePaciente", "nombre completo",
     "Nombre y apellidos", "Fecha de nacimiento", "fecha_nac", "FechaNacimiento",
     "año de nacimiento", "Dirección", "Teléfono", "Correo electrónico", "DNI",
     "Historia clínica", "número de historia",
     # Italian
     "Cognome", "Nome e cognome", "nome_paziente", "Data di nascita", "DataNascita",
     "luogo_di_nascita", "Indirizzo", "Codice Fiscale", "Cellulare", "numero di telefono",
     # Portuguese
     "Sobrenome", "Nome completo", "Nome do paciente", "NomePaciente", "nome da mãe",
     "Data de nascimento", "data_nasc", "dt_nascimento", "Endereço", "CPF", "Prontuário",
     # Dutch
     "Voornaam", "Achternaam", "geboortedatum", "Geboorteplaats", "Huisnummer", "Woonplaats",
     "BSN", "burgerservicenummer", "Telefoonnummer", "huisarts", "gebruikersnaam",
     # English and Indian
     "lname", "next_of_kin", "spouse_name", "date_birth", "home_addr", "chart_no", "UHID",
     "Aadhaar Number", "NRIC", "MR No", "medicare_id", "health card", "id_card", "IBAN",
     "surgeon_name", "dr_name", "lastnm", "bday", "BDATE", "PATIENT_BD", "mail_addr", "Ph No",
     "GP name", "Consultant Name", "Reporting Dr", "MRD No", "UR number", "NHI", "NHI Number",
     "KVNR", "apellido paterno", "cedula", "Cédula de identidad", "expediente", "NSS",
     # Several names, and one in parts
     "Name, Vorname", "Nachname/Vorname", "ID (MRN)", "Tel.; Fax No", "PatientName_Kanji",
     "patient name last", "name_kanji", "Name Vorname", "Vorname Nachname", "Surname Forename",
     "Tel (home)", "Tel/Fax", "Fax (GP)", "Initials/Age", "Patient initials (3 letters)",
     "Street, City",
     # Tags of DICOM
     "00100010", "0010,0010", "(0010,0010)", "(0010, 0010)", "tag_00100010", "x00100010",
     "0x00100010", "0010_0030", "00080050", "00081070", "(0040,A123)", "0040a123",
     # Further words, and Cyrillic letters among Latin ones
     "mname", "second_name", "legal_name", "IP No", "OPD No", "MR#", "acc_no", "policy_no",
     "contact_no", "p\u0430tient_name", "P\u0410TIENT N\u0410\u041cE",
     # Further languages and scripts
     "姓名", "患者 姓名", "患者姓名_x", "出生日期", "身份证号", "住院号", "病历号",
     "联系电话", "地址",
     "姓名(Name)",
     "氏名", "患者氏名", "生年月日", "ﾌﾘｶﾞﾅ", "カルテ番号",
     "성명", "생년월일", "주민등록번호",
     "전화번호2",
     "ФИО", "Фамилия", "ДАТА РОЖДЕНИЯ", "снилс", "Номер_полиса", "اسم المريض", "تاريخ الميلاد",
     "نام خانوادگی", "Adı Soyadı", "Doğum Tarihi", "T.C. Kimlik No", "Imię i nazwisko",
     "data_urodzenia", "PESEL", "Ονοματεπώνυμο", "ΗΜΕΡΟΜΗΝΙΑ ΓΕΝΝΗΣΗΣ", "ΑΜΚΑ", "रोगी का नाम",
     "जन्म तिथि", "शिकायत / पता", "תאריך לידה", "Họ và tên", "Rodné číslo", "Födelsedatum",
     # A person before it, in scripts without spaces
     "患者出生日期", "患者生年月日", "환자생년월일", "受检者姓名", "患者漢字氏名", "患者の氏名",
     "患者氏名カナ", "受試者身分證字號", "病人的联系电话", "환자 한글성명", "수검자 성함",
     "보호자연락처", "ชื่อผู้ป่วย", "วันเกิดผู้ป่วย", "영문성명", "姓", "农历生日", "환아 이름",
     "Tgl Lahir", "Nama Pasien", "Ime i prezime", "JMBG", "Дата на раждане", "Дата рожд.",
     "ROK_UR", "Fødselsår", "Jahrgang", "Ημ. Γέννησης", "PrÃ©nom", "AnnÃ©e de naissance",
     "AÃ±o de nacimiento", "å§“å\x90\x8d", "Ð¤Ð˜Ðž"],
)  # fmt: skip
def test_columns_that_tell_who_somebody_is_are_known(column: str) -> None:
    assert is_identifying(column)


@pytest.mark.parametrize(
    "column",
    ["Patient ID", "PatientAge", "PatientSex", "class_name", "name", "file name", "StudyDate",
     "Image Index", "View Position", "Series Number", "Manufacturer", "Institution", "birthmark",
     "image name", "dataset name", "study name", "series name", "finding name", "pattern", "NHS",
     "Hospital", "Hospital ID", "Instance Number"],
)  # fmt: skip
def test_other_columns_may_be_used(column: str) -> None:
    assert not is_identifying(column)


@pytest.mark.parametrize(
    "column",
    ["Name", "Nombre", "Nom", "nome", "Naam", "Patient", "Patient ID", "PatientID", "patient_id",
     "patientId", "Patient No.", "pt_id", "Hospital ID", "hospital_id", "Patienten-ID",
     "Patientennummer", "PatientenNr", "Fallnummer", "Numéro patient", "identifiant_patient",
     "ID del paciente", "paciente_id", "ID paziente", "id_paciente", "Radiologist", "Radiologe",
     "Doctor", "Arzt", "médico", "Name_x", "nombre 2", "f_name", "pt_nm", "Reg No", "case_no",
     "Consultant", "Reporting Radiologist", "PatName_Checked", "date_of_birth_iso",
     "ReferringPhysicianSpecialty", "scan_operator_name_de",
     # Behind the name of a thing
     "tags.PatientName", "Study.PatientName", "image_PatientName", "Series Patient Name",
     "file_patient_name", "task.patient_name", "scanner_operator_name_x",
     # One word among others, or within one
     "surname_en", "lastname_raw", "FIRSTNAME_PATIENT", "vorname_patient", "dob_iso", "mrn_raw",
     "ssn_last4", "email_work", "phone_home", "address_home", "rawpatientname",
     "dicompatientname", "patientnameoriginal", "p\u0430tient_name_raw",
     "a b c d e f g h i j k l m n o p q r patient name",
     "00100020", "(0010,0020)", "00100010.Value", "(0010,0010) PN", "00100010.Value.0.Alphabetic",
     # Numbers of people
     "dicom_AccessionNumber", "header.AccessionNumber", "raw_accession_number",
     "orig_national_id", "raw_medical_record_number",
     "Zip/City", "child_name", "baby_name", "donor_name", "client_name", "referred_by",
     "Refd By", "raw_donor_name", "Attending Cardiologist", "name_of_the_dermatologist",
     "urologist 2", "ReportedByPathologist", "neuroradiologist", "second radiologist",
     "verifying_radiologist", "Performing Cardiologist", "MRI Technologist", "report_radiologist",
     "countersigning_radiologist", "grading_radiologist", "rating radiologist",
     "created_username", "X0010.0020",
     # Within a name of a script without spaces, or one word of several in others
     "原始患者姓名", "产妇出生年份", "现居住地址", "紧急联系人电话", "住院号_脱敏", "送检医生",
     "审核医师2", "医生签名", "患者编号2020", "影像号", "入院時患者氏名", "初診時生年月日",
     "依頼医師名", "執刀医", "患者カナ", "原환자명", "출생연도", "판독의", "자택주소",
     "환자코드", "เบอร์โทรศัพท์มือถือ", "患者", "환자", "Исходная дата рождения", "ФИО ребёнка",
     "حقل تاريخ الميلاد", "मूल जन्म तिथि", "ham_doğum_tarihi", "hodnota rodné číslo"],
)  # fmt: skip
def test_columns_that_depend_on_the_table_are_known(column: str) -> None:
    assert may_identify(column)
    assert not is_identifying(column), "so a description may use it"


@pytest.mark.parametrize(
    "column",
    ["ct_report", "X-ray Report", "Chief Complaint", "clinical_info", "reason_for_exam",
     "discharge summary", "Report", "report_text", "Radiology Report", "findings",
     "FINDINGS_EN", "Impression", "section_findings", "section_impression", "section_narrative",
     "section_clinical_history", "section_end_of_impression", "section_procedure_comments",
     "section_summary", "section_technique", "ClinicalInformation_EN", "Technique_EN", "text",
     "full_text", "raw_report", "gt_report", "report_es", "last_paragraph", "comparison",
     "discharge_text", "Addendum", "informe_original",
     "Clinical History", "Diagnosis text", "dictation", "transcript",
     "Comments", "Image Comments", "Notes", "Remarks", "Befund", "Bemerkung", "PTWORK",
     "Findings Notes (in Portuguese)", "qc_notes_rater_1", "qc_anat_notes_rater_2", "T1 Comments",
     "any_comments", "Comments on image",
     "Compte-rendu", "Informe", "Referto", "Laudo", "Verslag", "影像所见",
     "诊断意见", "読影所見", "판독문", "CT检查所见", "超声所见描述", "放射诊断报告",
     "CT読影レポート", "영상판독소견",
     "Заключение", "Описание", "التقرير", "Bulgular", "Opis badania", "Πόρισμα", "टिप्पणी"],
)  # fmt: skip
def test_free_text_is_known(column: str) -> None:
    assert is_free_text(column)
    assert not is_identifying(column), "so a description may keep it"


@pytest.mark.parametrize(
    "column",
    ["name_of_finding", "patient_position", "birads", "comments_count", "chart_type",
     "tax_class", "contact", "fname", "read_by_count", "us_region", "ct", "mr",
     "n_notes", "number of comments", "has_notes", "notes_length", "avg_comments", "release_notes",
     "Report ID", "ReportDate", "Finding Labels", "finding", "has_findings", "num_reports",
     "section_id", "section_thickness", "section number", "Technique", "report_no", "image_text",
     "text_label", "text_length", "summary", "caption",
     "Study Description", "SeriesDescription", "note_count", "诊断", "性别", "年龄", "性別",
     "年齢", "성별", "나이", "пол", "возраст", "диагноз", "cinsiyet", "yaş", "tanı", "płeć",
     "wiek", "φύλο", "ηλικία", "लिंग", "आयु", "العمر", "الجنس", "检查日期", "设备", "AD", "部位",
     "modalità", "研究日期", "疾病名", "药品名称", "病名", "検査日", "검사일", "发生日期",
     "発生年月日", "발생일자", "产生日期", "标签名", "出生体重", "出生时体重", "出生孕周",
     "출생체중", "患者年龄", "患者性别", "患者数", "受试者编号", "图片地址", "文件地址",
     "手机型号", "电话随访", "医院名称", "设备名称", "检查名称", "ファイル名", "検査名",
     "疾患名", "속성명", "특성명", "검사명", "파일이름", "이미지주소", "糖尿病史", "报告日期",
     "医保类型", "标注者", "วันเกิดเหตุ", "วันที่ตรวจ", "дата исследования", "адрес файла",
     "номер серии", "TC no contraste", "اسم الملف", "تاريخ الفحص", "अध्ययन तिथि", "CEP17",
     "CEP 17", "HER2/CEP17", "CEP290", "紹介医療機関", "診療部署名", "拍摄手机", "회전화면",
     "충전화면", "FiO2"],
)  # fmt: skip
def test_what_is_neither_text_nor_a_person_is_kept(column: str) -> None:
    assert not is_left_out(column)


@pytest.mark.parametrize(
    "column",
    ["filename", "file_name", "FileName", "image_id", "ImageID", "id", "age", "Age at scan", "sex",
     "Gender", "Geschlecht", "Alter", "patient_position", "PatientOrientation", "Patient Age",
     "PatientSex", "patient_group", "n_patients", "num_patients", "patients_per_site",
     "hospital_stay_days", "Hospital", "Klinik", "study_id", "StudyInstanceUID", "class_name",
     "subject_id", "participant_id", "rad_id", "case_id", "birth_weight", "age_at_birth",
     "initial", "initial_diagnosis", "initialization", "addressed", "postcontrast", "phonation",
     "telangiectasia", "faxen", "dobutamine", "nomenclature", "nominal", "nombre d'images",
     "nombre_images", "nome_arquivo", "nom du fichier", "Nom de la classe", "dateiname",
     "Bildname", "bestandsnaam", "nombre_archivo", "medication", "medicine", "user_rating",
     "user", "username_count", "operation", "emailed", "zipfile", "street_view", "mobility",
     "city", "country", "StudyDate", "ContentDate", "series_number", "acquisition_number",
     "x", "y", "1", "", "name_x_min", "device name", "station name", "artsy", "CNS",
     "case", "image_name", "patient_age", "file name", "lesion_name", "series_no", "ph", "pH",
     "pTNM", "age (birth)", "weight, birth", "patient_birth_weight", "class_full_name",
     "MR_no_contrast", "mobile_phone_model", "width/height", "transcript_id", "name_of_lesion",
     "RG", "rut_depth", "strain", "PatientIdentityRemoved", "Number of patients",
     "slice_no", "Slice #", "# of slices", "view", "label text", "width", "height", "image_no",
     "blast_name", "flavor_name", "measurename", "peso_nascita", "poids_naissance",
     "valores_iniciales", "densita_cellulare", "physician_count", "operator_index", "phone_model",
     "mobile unit", "lesion_contact_no_x", "child_index", "record_id", "image record id",
     "00100040", "0010,1010", "00080060", "(0028,0010)", "20100010", "00000000", "deadbeef",
     "accuracy", "image_address", "class fullname", "model_family_name", "num_radiologists",
     "n_pathologists", "Number of neurologists", "num_ophthalmologists", "total_radiologists",
     "number_of_expert_radiologists", "n_gynecologists", "n_expert_radiologists",
     "malignancy_radiologist", "BIRADS_radiologist", "groundTruthRadiologist", "has_radiologist",
     "grade_ophthalmologist", "score_pathologist_1", "count_radiologists", "radiologist_score"],
)  # fmt: skip
def test_other_columns_are_kept(column: str) -> None:
    assert not is_identifying(column)
    assert not may_identify(column)


def test_the_fixed_lists_of_what_is_read_from_files_hold_nothing_identifying() -> None:
    assert not [word for word in METADATA_KEYWORDS if is_left_out(word)]


def test_every_name_of_a_person_in_dicom_identifies_one() -> None:
    names = [word for word, tag in keyword_dict.items() if dictionary_VR(tag) == "PN"]

    assert len(names) > 20
    assert not [word for word in names if not is_identifying(word)]


@pytest.mark.parametrize(
    "keyword",
    ["PatientName", "PatientBirthDate", "PatientBirthTime", "PatientBirthName", "PatientAddress",
     "PatientMotherBirthName", "PatientTelephoneNumbers", "OtherPatientIDs", "OtherPatientNames",
     "MedicalRecordLocator", "AccessionNumber", "ReferringPhysicianName", "OperatorsName",
     "ReferringPhysicianAddress", "PhysiciansOfRecord", "PerformingPhysicianName", "Occupation",
     "PatientInsurancePlanCodeSequence", "CountryOfResidence", "RegionOfResidence",
     "PatientTelecomInformation", "CurrentPatientLocation", "OtherPatientIDsSequence",
     "PatientReligiousPreference", "PatientComments", "ResponsiblePerson", "InstitutionAddress"],
)  # fmt: skip
def test_what_dicom_calls_confidential_is_left_out_of_tables(keyword: str) -> None:
    assert is_identifying(keyword)


@pytest.mark.parametrize("column", ["Name", "name", " NAMES "])
def test_a_name_alone_may_be_anybodys(column: str) -> None:
    assert is_bare_name(column)
    assert not is_bare_name(f"file {column}")


@pytest.mark.parametrize(
    ("parent", "key", "tells"),
    [("patient", "name", True), ("owner", "Name", True), ("patient", "birthDate", True),
     ("phone", "number", True), ("findings", "name", False), ("body part", "name", False),
     ("DataSet", "name", False), ("categories", "name", False), ("profile", "name", True),
     ("patient", "id", True), ("subject", "id", False), ("series", "number", False),
     ("patient", "Nachname", True), ("finding", "nombre", False), ("paciente", "nombre", True)],
)  # fmt: skip
def test_within_an_object_a_name_is_a_persons_unless_it_is_a_things(
    parent: str, key: str, tells: bool
) -> None:
    assert is_identifying_within(parent, key) is tells
