"""Names of columns in languages beyond the seven of `identifying_columns`, which has patterns.

Whole names, parted by commas, as hospitals and published tables write them. A name is compared
without case, accents and anything between its words, so one spelling of each is enough.
Within a longer name they are found as words; where a script has no spaces, see `identifying_parts`.
"""

import re
import string
import unicodedata
from collections.abc import Iterator

from catalog.importers.tables.identifying_parts import strip_whose
from vocab.text import decompose

IDENTIFYING = """
    姓, 姓氏, 生年, 出生年, 姓名, 患者姓名, 病人姓名, 病患姓名, 名字, 母亲姓名, 父亲姓名, 家属姓名,
    联系人, 联系人姓名,
    出生日期, 出生年月, 出生年月日, 生日, 出生地, 籍贯, 电话, 电话号码, 電話, 联系电话, 联系方式,
    手机, 手机号, 手机号码, 手機, 地址, 住址, 家庭住址, 家庭地址, 邮箱, 电子邮箱, 电子邮件, 邮编,
    邮政编码, 身份证, 身份证号, 身份证号码, 身分證, 身分證字號, 护照号, 护照号码, 住院号, 住院號,
    病历号, 病歷號, 病历号码, 病案号, 门诊号, 就诊卡号, 医保号, 医保卡号, 社保号, 社保卡号,
    检查号, 医生姓名, 医师姓名, 主治医师, 主治医生, 报告医生, 审核医生, 申请医生, 氏名, 患者名,
    患者氏名, お名前, フリガナ, ふりがな, カナ氏名, 生年月日, 誕生日, 電話番号, 携帯電話,
    携帯電話番号, 連絡先, 緊急連絡先, イニシャル, 이니셜, 성함, 住所, 郵便番号, メールアドレス,
    カルテ番号, 診察券番号, 保険証番号,
    被保険者番号, 個人番号, マイナンバー, 主治医, 担当医, 医師名, 読影医名, 성명, 환자명,
    환자이름, 환자성명, 생년월일, 생일, 출생지, 전화번호, 휴대폰, 휴대폰번호, 휴대전화, 연락처,
    주소, 이메일, 우편번호, 주민등록번호, 주민번호, 건강보험번호, 여권번호, 차트번호, 병록번호,
    담당의, 주치의, 의사명, ФИО, ФИО пациента, фамилия, фамилия пациента, имя пациента, отчество,
    фамилия имя отчество, дата рождения, год рождения, место рождения, телефон, номер телефона,
    мобильный телефон, адрес, адрес проживания, место жительства, почтовый индекс,
    электронная почта, СНИЛС, ИНН, полис, полис ОМС, номер полиса, страховой полис, паспорт,
    номер паспорта, серия паспорта, паспортные данные, история болезни, номер истории болезни,
    номер карты, медицинская карта, номер медицинской карты, амбулаторная карта, лечащий врач,
    ФИО врача, фамилия врача, ПІБ, прізвище, ім'я пацієнта, по батькові, дата народження,
    місце народження, адреса, номер телефону, اسم المريض, اسم المريضة, الاسم الكامل, الاسم الأول,
    اسم العائلة, اسم الأب, اسم الأم, تاريخ الميلاد, تاريخ الولادة, تاريخ ميلاد, مكان الولادة,
    مكان الميلاد,
    رقم الهاتف, الهاتف, الجوال, رقم الجوال, عنوان السكن, البريد الإلكتروني, رقم الهوية,
    الرقم الوطني, رقم جواز السفر, رقم التأمين, رقم الملف الطبي, اسم الطبيب, نام خانوادگی,
    نام و نام خانوادگی, نام بیمار, نام پدر, تاریخ تولد, محل تولد, تلفن, شماره تلفن, موبایل,
    شماره موبایل, آدرس, نشانی, کد ملی, شماره ملی, شماره پرونده, نام پزشک, soyadı, soyad, ad soyad,
    adı soyadı, hasta adı, hasta adı soyadı, hasta soyadı, hasta ismi, baba adı, anne adı,
    doğum tarihi, doğum yeri, doğum yılı, telefon numarası, cep telefonu, e-posta, TC kimlik no,
    TC kimlik numarası, TC no, kimlik no, kimlik numarası, SGK no, dosya no, protokol no,
    pasaport no, doktor adı, hekim adı, nazwisko, imię i nazwisko, nazwisko i imię, imię pacjenta,
    nazwisko pacjenta, nazwisko rodowe, data urodzenia, rok urodzenia, miejsce urodzenia,
    numer telefonu, adres zamieszkania, kod pocztowy, PESEL, numer PESEL, nr PESEL, numer dowodu,
    numer paszportu, numer historii choroby, lekarz prowadzący, lekarz kierujący, επώνυμο,
    ονοματεπώνυμο, όνομα ασθενούς, όνομα πατρός, πατρώνυμο, ημερομηνία γέννησης, έτος γέννησης,
    τόπος γέννησης, τηλέφωνο, κινητό, διεύθυνση, ΑΜΚΑ, ΑΦΜ, αριθμός ταυτότητας,
    αριθμός διαβατηρίου, αριθμός μητρώου, θεράπων ιατρός, रोगी का नाम, मरीज का नाम, पूरा नाम,
    पिता का नाम, माता का नाम, उपनाम, जन्म तिथि, जन्मतिथि, जन्म स्थान, जन्म वर्ष, पता, फोन नंबर,
    मोबाइल नंबर, दूरभाष, ईमेल, आधार संख्या, आधार नंबर, שם פרטי, שם משפחה, שם מלא, שם המטופל,
    תאריך לידה, טלפון, כתובת, תעודת זהות, מספר זהות, họ tên, họ và tên, tên bệnh nhân, ngày sinh,
    năm sinh, nơi sinh, địa chỉ, số điện thoại, CMND, CCCD, jméno pacienta, příjmení,
    jméno a příjmení, rodné číslo, datum narození, místo narození, förnamn, efternamn,
    ชื่อผู้ป่วย, ชื่อสกุล, ชื่อและนามสกุล, นามสกุล, วันเกิด, วันเดือนปีเกิด, ปีเกิด, สถานที่เกิด, เบอร์โทร,
    เบอร์โทรศัพท์, โทรศัพท์, ที่อยู่, เลขบัตรประชาชน, ชื่อแพทย์, födelsedatum, telefonnummer, fornavn,
    etternavn, efternavn, fødselsdato, fødselsnummer,
    CPR-nummer, etunimi, sukunimi, henkilötunnus, syntymäaika, vezetéknév, keresztnév, beteg neve,
    születési dátum, születési hely, TAJ szám, nume și prenume, prenume, data nașterii, CNP,
    民國生日, 阳历生日, 农历生日, 出生西元年, 西暦生年, 曾用名, 病人全名, 환아명, 환아 이름,
    아기이름, 術者名, 読影者名, 担当者名, 판독자명, 작성자명, 교수명, X线号, 入院号, 住院ID, 登记号,
    医疗保险号, 社会保障号, 접수번호, nama lengkap, nama pasien, tgl lahir, tanggal lahir,
    tempat lahir, no rekam medis, alamat, nomor telepon, ime i prezime, datum rođenja,
    datum rojstva, OIB, JMBG, име и фамилия, дата на раждане, ЕГН, дата рожд, год рожд,
    data rozhdeniya, data ur, rok ur, Ημ. Γέννησης, سال تولد, fødselsdag, fødselsår, födelseår,
    syntymävuosi, születési idő, betegnév, Jahrgang, Geburtsjahrgang, xingming, シメイ, שם החולה,
    isim soyisim, D.Tarihi, doğum T., Д/р, дата народж, Ημ/νία γέννησης, ת. לידה, dat. narození,
    meno a priezvisko, priezvisko, dátum narodenia, rodné priezvisko, szül. dátum, szül. idő,
    no карты, no истории болезни, no ИБ, номер ИБ, ת.ז., isikukood, sünniaeg, asmens kodas,
    gimimo data, personas kods, dzimšanas datums, kennitala, জন্ম তারিখ, تاریخ پیدائش, туған күні,
    datëlindja, tug'ilgan sana, AMKA, SNILS, TCKN
"""
MAYBE = """
    名, 名前, 患者, 病人, 환자, ชื่อ, ผู้ป่วย, แพทย์, รหัสผู้ป่วย, 患者编号, 患者ID, 病人ID, 病人编号,
    患者番号, 読影医, 이름, 환자번호, 환자ID, 등록번호,
    имя, ім'я, пациент, ID пациента, номер пациента, врач, الاسم, العنوان, رقم المريض, الطبيب,
    نام, شماره بیمار, پزشک, adı, isim, hasta no, hasta numarası, hasta ID, doktor, hekim, imię,
    ID pacjenta, numer pacjenta, nr pacjenta, lekarz, όνομα, ασθενής, κωδικός ασθενούς, ιατρός,
    नाम, रोगी आईडी, שם, מספר מטופל, mã bệnh nhân, jméno, navn, namn, nimi, nume,
    nama, ime, име, név, নাম, பெயர், نام مریض, isteyen doktor, рентгенолог, направил,
    撮影者, 촬영자, bác sĩ, bác sĩ chỉ định, người đọc, mã BN, الطبيب المعالج, رقم الملف,
    پزشک معالج, lekarz opisujący, lékař, orvos, แพทย์ผู้อ่าน, 登记人, 录入员
"""
# As one word of several these tell nobody: адрес файла.
VAGUE_WORDS = """
    адрес, адреса, телефон, полис, паспорт, ИНН, الهاتف, الجوال, موبایل, تلفن, آدرس, نشانی, κινητό,
    διεύθυνση, पता, उपनाम, ईमेल, כתובת, טלפון
"""
FREE_TEXT = """
    报告, 報告, 诊断报告, 检查报告, 影像报告, 报告内容, 影像所见, 检查所见, 影像表现, 诊断意见,
    印象, 结论, 备注, 主诉, 病史, 现病史, 既往史, 所見, 読影所見, 読影レポート, 診断レポート,
    レポート, 備考, コメント, 主訴, 既往歴, 판독, 판독문, 판독소견, 판독결과, 소견, 결론, 비고,
    메모, 주소견, описание, заключение, жалобы, анамнез, комментарий, комментарии, примечание,
    примечания, опис, висновок, التقرير, تقرير الأشعة, ملاحظات, الملاحظات, گزارش, توضیحات, rapor,
    radyoloji raporu, bulgular, yorum, açıklama, notlar, opis, opis badania, wnioski, uwagi,
    komentarz, πόρισμα, έκθεση, παρατηρήσεις, σχόλια, रिपोर्ट, टिप्पणी, टिप्पणियाँ, דוח, הערות,
    báo cáo, ghi chú, poznámka, zpráva, kommentarer, anteckningar, utlåtande, lausunto, lelet,
    megjegyzés, observații
"""
_SHORTEST, _SHORTEST_LATIN, _LONGEST_SPAN, _MOST_WORDS = 3, 5, 4, 40
# The bytes that cp1252 has other signs for than latin-1; a few it has none for.
_BYTES_OF_CP1252 = {
    ord(sign): byte
    for byte in range(0x80, 0xA0)
    if (sign := bytes([byte]).decode("cp1252", "ignore"))
}
_NUMBERED = string.digits + string.whitespace + "_"
# Letters that stand for one another: Persian ones written as Arabic, which may be drawn out.
_ALIKE = str.maketrans("ıłøيىك", "iloییک", "ـ")
# What stands around one of two languages.
_AROUND = re.compile(r"[/|()（）\[\]【】]+")


def fold_name(column: str) -> str:
    """The letters and digits of a name, without case and accents; vowel signs are kept."""
    if column.isascii():
        return "".join(filter(str.isalnum, column.casefold()))
    letters = (
        each
        for each in decompose(column.casefold())
        if unicodedata.category(each)[0] in "LMN" and not unicodedata.combining(each)
    )
    return "".join(letters).translate(_ALIKE)


def undo_double_encoding(name: str) -> str:
    """What was written as UTF-8 and read as cp1252: Prénom of PrÃ©nom; else the name as it is."""
    try:
        return name.translate(_BYTES_OF_CP1252).encode("latin-1").decode()
    except UnicodeError:
        return name


def strip_endings(name: str, *endings: str) -> str:
    """A name without what tables and their joins add to its end: `Phone 2`, pandas' `MRN_x`."""
    shorter = name.rstrip(_NUMBERED)
    for ending in endings:
        shorter = shorter.removesuffix(ending)
    return name if shorter == name else strip_endings(shorter, *endings)


def fold_parts(column: str) -> frozenset[str]:
    """The folded name, and that of each part: one may stand beside one in another language.

    Each also without the person before it in a script without spaces.
    """
    name = strip_endings(column.strip(), "_x", "_y")
    parts = (name, *_AROUND.split(name))
    return frozenset(filter(None, map(fold_name, (*parts, *map(strip_whose, parts)))))


def list_spans(column: str) -> Iterator[str]:
    """The words of a name, folded, and what up to four that follow one another are together.

    Those of a few letters are left out: they mean much else, as `TC no`.
    """
    parted = (sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in column)
    found = [fold_name(word) for word in "".join(parted).split()[:_MOST_WORDS]]
    for start in range(len(found)):
        for end in range(start + 1, min(start + _LONGEST_SPAN, len(found)) + 1):
            span = "".join(found[start:end])
            if len(span) >= (_SHORTEST_LATIN if span.isascii() else _SHORTEST):
                yield span


def fold_names(names: str) -> frozenset[str]:
    """The folded names of one of the lists above."""
    return frozenset(fold_name(name) for name in names.split(","))
