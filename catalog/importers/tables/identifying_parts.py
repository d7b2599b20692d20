"""Parts of the names of columns in scripts that put no spaces between words.

In Chinese, Japanese, Korean and Thai `date of birth` may stand anywhere in a name: 患者出生日期,
入院時患者生年月日. What stands in other words, too,
has what has to be around it: 生日 is a birthday,
發生日期 the date of an event.
"""

import re
import unicodedata

_PERSON = """(?:患者|病人|病患|個案|患[儿兒]|受診者|[被受](?:检查?|檢查?|検査?|試|试|験)[者人]
    |参与者|參與者|参加者|产妇|產婦|孕妇|孕婦|新生[儿兒]|[儿兒]童|本人|母[亲親]?|父[亲親]?|家[属屬]
    |配偶|监护人|監護人|保護者|[联聯][系繫络絡]人|医[师師]|醫師|医生|醫生|환자|의사|ผู้ป่วย|คนไข้
    |(?:피험|대상|수검|수진|피검|참여|참가|보호)자)"""
_SCRIPT = "(?:漢字|汉字|カナ|かな|ローマ字|拼音|中文|英文|英字|한글|한자|영문)"
# A name of the lists with a person before it, in Thai behind it, and the script that it is in.
_WHOSE = re.compile(
    rf"(?:{_PERSON}[のノ的之의님]*)?{_SCRIPT}?(?P<what>.+?){_SCRIPT}?(?:ของ)?(?:ผู้ป่วย|คนไข้)?",
    re.VERBOSE,
)
_WITHIN = re.compile(
    rf"""
    姓名 | 氏名 | 患者名 | (?:病人|医[师師]|醫師|医生|醫生|{_PERSON}の)名(?!单|單|額|额)
    | フリガナ | ふりがな | {_PERSON}{_SCRIPT} | (?:^|[자의사인부모친문글생])성명
    | (?:환자|의사|간호사|[검진험상여호]자|산모|고객|회원)(?:명|이름|성함|이니셜)(?!단)
    | (?<!标)签名$ | (?<!標)簽名$ | 签字$ | (?<!部)署名$
    | 出生(?:[年月日](?![龄齡])|地|时间|時間|时刻|時刻|省|城市|县|縣|国|國|証|证)
    | (?<![发發発产產生])生年月 | 誕生[年日] | (?:^|[人者的の诞出親亲兒儿方])生日(?!龄|齡)
    | 생년월일 | (?:^|[^발])생년(?:월|$) | 출생(?:일|년|연|지) | (?:^|[자인의모])생일
    | (?:^|[^จ])วันเกิด(?!เหตุ|โรค|อาการ) | ปีเกิด(?!เหตุ|โรค|อาการ) | สถานที่เกิด(?!เหตุ)
    | (?:电话|電話)(?!随访|隨訪|咨询|諮詢|回访|回訪|问卷|調査|相談|型)
    | (?<!拍[摄攝])(?:手机|手機)(?:号|號|$)
    | 携帯番号 | [联聯][系繫络絡]方式 | 邮箱 | 郵箱 | 电子邮件 | 電子郵件 | メールアドレス | 微信号
    | 住址 | (?<!居)住所 | 邮政编码 | 郵遞區號 | 郵便番号
    | (?:家庭|居住|[联聯][系繫络絡]|[现現][住居]?|通[讯訊]|户籍|戶籍|户口|工作|单位|單位|者|人)地址
    | (?<![회안충고산])전화(?:번호)? | 휴대(?:폰|전화) | 핸드폰 | 연락처 | 이메일 | 우편번호
    | (?:환자|자택|거주지?|현|보호자|직장|상세|도로명|지번|집)주소
    | โทรศัพท์ | เบอร์โทร | อีเมล
    | 身份[证証] | 身分[证証證] | [证證]件[号號] | [护護]照 | パスポート番号
    | (?:社保|[医醫]保)(?:卡|号|编号|證號) | 就[诊診]卡 | 住院流水
    | (?:住院|门诊|門診|病[历歷]|病案|就[诊診]|[检檢]查|影像|放射|病人|档案|病理)[号號](?!数|數)
    | 患者[编編]?[号號] | カルテ(?:番号|id|no) | 診察券 | 保険証 | 被保険者 | マイナンバー
    | (?:患者|病人|환자|등록|病患)(?:id|番号|编码|代码|代號|コード|번호|코드|아이디)(?!수|数)
    | 주민(?:등록)?번호 | 건강보험(?:증)?번호 | 여권 | 차트번호 | 병록번호
    | บัตรประชาชน | ประจำตัวประชาชน | นามสกุล | ชื่อ(?:ผู้ป่วย|คนไข้|แพทย์|สกุล)
    | (?:医[师師生]|醫[師生]|技[师師]|护士|護士)\d*名?$
    | (?:[报報]告|[审審]核|[记記][录錄録]|[录錄]入|送[检檢])[者人]\d*$
    | (?:依頼|読影|執刀|担当|主治|紹介|報告|診断|診察)医(?!療) | 術者\d*$ | 操作[者员員]\d*$
    | (?:주치|담당|판독|처방|의뢰|집도|시술)의(?:사|$|\d|명|성명)
    """.replace("ำ", "ํา"),  # as it is decomposed
    re.VERBOSE,
)
_TEXT = re.compile(
    r"""
    (?:ct|mri?|pet|dr|us|x?[线線]|超[声聲]|超音波|影像|[图圖]像|[检檢]查|放射|病理|内镜|胸片|[読读讀]影
    |[诊診][断斷]|診断|[临臨]床|医生|医师|学|學|科|的|영상|판독|초음파|병리|진단)*
    (?:[报報]告|所[见見]|意[见見]|印象|[结結][论論]|[备備][注註考]|レポート|コメント|メモ|판독문|판독결과
    |소견|결론|비고|รายงาน|หมายเหตุ|(?<=.)描述)
    (?:内容|文|文本|全文|描述|正文)?
    """,
    re.VERBOSE,
)


def strip_whose(name: str) -> str:
    """A name without the person before it and the script: 姓名 of 患者漢字姓名."""
    found = None if name.isascii() else _WHOSE.fullmatch(_join(name))
    return found["what"] if found else name


def has_identifying_part(column: str) -> bool:
    """Whether a part of a name in these scripts tells who somebody is."""
    return not column.isascii() and bool(_WITHIN.search(_join(column)))


def is_text_of_parts(column: str) -> bool:
    """Whether a name in these scripts is that of a report, or of what somebody noted."""
    return not column.isascii() and bool(_TEXT.fullmatch(_join(column)))


def _join(column: str) -> str:
    """The letters, vowel signs and digits of a name,
    put together again: `_cut` takes them apart."""
    whole = unicodedata.normalize("NFC", column).casefold()
    return "".join(sign for sign in whole if unicodedata.category(sign)[0] in "LMN")
