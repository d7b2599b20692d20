"""Patterns of the names of columns that tell who somebody is, for `identifying_columns`."""

import re

# Names are compared in lower case without accents and without anything between their words.
# English after the Basic Application Level Confidentiality Profile, DICOM PS3.15 table E.1-1.
_PATIENT = "(?:patient(?:s|en|in|innen)?|pats?|pts?|ptnts?|pacientes?|pazient[ei])"
_PERSON = (
    f"(?:{_PATIENT}|subjects?|persons?|participants?|mothers?|fathers?|guardians?|probanden?"
    "|sujets?|personas?|pessoas?)"
)
_OF = "(?:of(?:the)?|de(?:l|la|llo|lla|r|s)?|d[aiou]?s?|van(?:de)?)?"
_NUMBER = "(?:numbers?|nummer|nos?|nr|num|numero|ids?)"
_NAME = "(?:names?|namen|noms?|nombres?|nomes?|naam)"
_PART_OF_NAME = "(?:first|middle|last|given|family|full|maiden)"
_SCRIPT = "(?:kanji|kana|katakana|hiragana|romaji|ideographic|phonetic|alphabetic|latin)"
# Dates and their parts, also as CDISC (`BRTHDTC`) and OMOP (`birth_datetime`) have them.
_WHEN = (
    "(?:dat|dates?|datetime|timestamp|dt[cemn]?|dttm|ts|dd?|days?|time|tm|y|yy|yyyy|years?|yr|mm?|mo"
    "|months?|mon|mth|ym|place|city|town|country|cntry)"
)
_CALLED = (
    "(?:attending|treating|referring|reporting|requesting|ordering|consulting|reading|dictating"
    "|interpreting|signing|supervising|approving)"
)

_NAMES = rf"""
    {_PERSON}?(?:first|middle|second|last|given|family|full|maiden|legal|birth|mothers?maiden
        |mothers?birth|nick|fore|sur)names?
    | {_PERSON}(?:first|middle|last) | {_PERSON}[flm](?:name|nm)
    | {_PERSON}?names?\d*(?:family|given)
    | {_PERSON}?names?(?:{_PART_OF_NAME}|{_SCRIPT}) | {_PART_OF_NAME}nm | (?:patient|pat|ptnt)nm
    | {_PERSON}(?:actor|individual)?display(?:name)?
    | [lm]name | nextofkin | emergencycontact
    | (?:spouse|husband|wife|relative|(?:nextof)?kin|nok|contact|emergencycontact
        |employ(?:er|ee))s?name
    | (?:other)?{_PERSON}{_NAME} | {_NAME}{_OF}{_PERSON}
    | (?:patienten)?(?:vor|nach|zu|familien|geburts|madchen|ruf)namen? | vorundnachname
    | prenoms?{_OF}{_PATIENT}? | nom(?:et)?prenoms? | nom{_OF}(?:famille|naissance|jeunefille)
    | (?:primer|segundo)?apellidos?(?:paterno|materno)? | (?:primer|segundo)nombre
    | nombres?y?apellidos?
    | apellidos?y?nombres? | nom(?:br)?ecompleto | cognome{_OF}{_PATIENT}? | nomee?cognome
    | cognomee?nome | nominativo | sobrenome | apelido | nome{_OF}mae | nomesocial
    | n(?:m|om(?:br)?e?){_OF}(?:mae)?pac(?:iente?)? | nmmae | ape?(?:paterno|materno)
    | nom(?:usuel|usage|marital|jf) | mid(?:dle)?name | (?:{_PERSON}|subj|middle)init
    | (?:voor|achter|familie|geboorte|roep|meisjes)na(?:am|men) | tussenvoegsel
    | {_PERSON}?(?:middle)?initials | (?:{_PERSON}|middle)initial | nameinitials?
    | initialen | initiales | iniziali | iniciais | iniciales | voorletters
    | maiden | invnam | subj(?:nam|ini) | name(?:alias|maiden|spouse(?:parent)?)
    | addr(?:ess)?(?:atdx|current)(?:nostreet|no|supplementl|city|postalcode)
    | nom(?:br)?e{_OF}prof(?:issional)? | no(?:mae|paciente|prof(?:issional)?)
    | completename | apnomepcn | (?:subject)?(?:printed|signed|sig|consent)name
    | {_PERSON}full(?:name)? | nomepai | nm(?:logradouro|logrado)
    | noms?dusage
    | user(?:login)?names? | userlogin | login(?:name)? | benutzername | nom{_OF}utilisateur
    | nombre{_OF}usuario | nomeutente | nome{_OF}usuario | gebruikersnaam
"""
# The same in Romance languages, also as registries shorten them (`AA_NASCIMENTO`, `CODMUNNASC`).
_WHEN_ROMANCE = """(?:data?|date|dt|dia|giorno|jour|ani?o|anno|annee?|an|aa|mm|dd|mes[ei]?|mois
    |h?ora|heure)"""
_WHERE_ROMANCE = """(?:local|lugar|luogo|lieu|pais|paese|pays|ville|ciudad|cidade|citta|comun[ae]
    |com(?:mune)?|prov(?:incia)?|nazione|(?:cod)?(?:mun(?:icipio)?|mpio|uf)|ent(?:idad)?|edo
    |dep(?:to|arta(?:mento|ment))?)"""
_WHOSE = f"(?:{_OF}(?:mae|pai|madre|padre|mere|pere|rn|pac|{_PATIENT}))?"
_BIRTHS = rf"""
    {_PERSON}?(?:(?:birth|brth|dob|bth(?=y)){_WHEN}?|yob|bday|bdate)
    | {_PERSON}?(?:born(?:on|{_WHEN})?
        |(?:dates?|dt|day|months?|mon|years?|yr|place){_OF}(?:birth|brth|born))
    | geb(?:oren)?(?:am|op)? | nee?le | nat[oa]il | nacid[oa](?:el)?
    | (?:patient|pat)bd | b(?:year|month|yr|mon) | (?:my|in|ra)dob(?:yr|y|m)? | indob(?:yr|y|m)
    | mobirth | rab(?:year|month) | (?:newnhs|nhs)no | homeadd | fodelse(?:ar|dag|datum)
    | (?:in|mom|dad|mum|sib|kid|ch)\d*(?:bir(?:yr|mo)|yob) | dob[dmy]dv | [cpy]dob | dobn
    | do?birth | cmbirth | brtdt | birthdtn | brith(?:date|day) | geb(?:urts)?jr? | gebmonat
    | roknarozeni | ptbirpl
    | gbageboorte(?:jaar|maand)
    | d(?:te?)?naiss? | fech(?:nac(?:im)?|anto) | fnacpac | birthyrn | birthdy | dateofbri?th
    | dateofbith
    | (?:jahr|monat|tag|datum|ort)dergeburt | foe?d(?:sels?)?(?:dato?|dag|aa?r)
    | dnpaciente | (?:data|dt)nascto | natoail | dnascita
    | brthdy | bth(?:yr|dt|date) | birthmmyyyy | pat(?:ient)?geb
    | (?:naissance|nascimento|nascita|nacimiento){_WHEN_ROMANCE}
    | {_PERSON}?birthdateinalternativecalendar
    | {_PERSON}?(?:time|city|country)ofbirth
    | (?:patienten)?geburts(?:dat(?:um)?|tag|jahr|monat|ort|land|zeit) | geb(?:datum|dat|jahr)
    | geburt | geboorte(?:datum|dag|jaar|jr|maand|plaats|land)?
    | (?:{_WHEN_ROMANCE}|{_WHERE_ROMANCE}){_OF}nais(?:s(?:ance)?)?{_WHOSE}
    | [adjm]nais | bennai(?:ann|moi) | ddn
    | (?:fec(?:ha)?|fch|dia|ani?o|mes|hora|{_WHERE_ROMANCE}){_OF}nac(?:im(?:iento)?)?{_WHOSE}
    | (?:f|estado|{_WHEN_ROMANCE}){_OF}nacimiento{_WHOSE}
    | (?:{_WHEN_ROMANCE}|{_WHERE_ROMANCE}|stato|estado){_OF}
        (?:nascita|nasc(?:im(?:ento)?)?){_WHOSE}
    | naturalidade | codnatural | naturalmae | cod(?:mun|uf)natu
    | {_PERSON}?(?:naissance|nacimiento|nascita|nasc(?:im(?:ento)?)?){_WHOSE}
"""
_CONTACTS = rf"""
    {_PERSON}?(?:(?:home|e?mail|ip|street|postal)?address(?:line)?|e?mail|street(?:name|{_NUMBER})?
        |zip(?:code)?|pincode|post(?:al)?code|(?:home|e?mail|street|postal)?addr)
    | telecom(?:value)? | ph(?:numbers?|nos?|num) | whatsapp{_NUMBER}?
    | {_PERSON}?(?:(?:home|mobile|cell|work|tele)?phone{_NUMBER}?|tel{_NUMBER}?|mobile{_NUMBER}?
        |fax{_NUMBER}?) | mob{_NUMBER} | (?:place|region|country)ofresidence
    | {_PERSON}(?:telecominformation|institutionresidence) | current{_PERSON}location
    | adressen? | anschrift | wohnort | strasse | hausnummer | plz | postleitzahl
    | (?:telefon|mobil|mobilfunk|handy){_NUMBER} | telefon | emailadresse
    | adresse(?:postale|{_OF}{_PATIENT}) | codepostal | numero{_OF}telephone | courriel
    | direccion | domicilio | calle | codigopostal | (?:numero{_OF})?telefono(?:movil|celular)?
    | movil | correo(?:electronico)? | indirizzo | codicepostale | (?:numero{_OF})?cellulare
    | endereco | morada | cep | (?:numero{_OF})?(?:telefone|telemovel)
    | adres | straat(?:naam)? | huisnummer | woonplaats | telefoon(?:nummer)?
"""
_NUMBERS = rf"""
    {_PERSON}?(?:ssn|socialsecurity{_NUMBER}?|national{_NUMBER}|passport{_NUMBER}?
        |drivers?licen[cs]e{_NUMBER}?|(?:health)?insurance{_NUMBER}|nhs{_NUMBER}|mrn
        |hosp(?:ital)?(?:num(?:bers?)?|nos?|nr)|hicn|med(?:ical)?rec(?:ord)?(?:{_NUMBER}|locator)
        |(?:mrn|mrd|nhi|chart|uhid|chi|nric|tax|healthcard|medicare|medicaid){_NUMBER}|mr(?:no|number)
        |(?:ip|op)d?(?:numbers?|nos?|nr)
        |ur(?:numbers?|nos?)|uhid|nhi|nric|aadha?a?r{_NUMBER}?|healthcard|idcard|drivinglicen[cs]e{_NUMBER}?|licen[cs]eplate
        |bankaccount{_NUMBER}?|iban)
    | num(?:ero)?(?:hc|ss|historia) | nmbairro | nmcomplem | nudddtel | gestorcpf | cpfaut
    | apceppcn
    | codfiscale | (?:medicare)?beneficiaryidentifier | nucep | cepres | endres | idcnssus
    | apcnspcn
    | otherpatientids?(?:sequence)? | patientinsuranceplancode(?:sequence)? | accession{_NUMBER}?
    | (?:acc|policy|contact){_NUMBER}
    | (?:kranken|sozial|renten)?versicher(?:ungs|ten){_NUMBER} | krankenkassen{_NUMBER}
    | ahv{_NUMBER}? | kv(?:nr|nummer)
    | (?:personal)?ausweis{_NUMBER} | reisepass{_NUMBER}? | steuer{_NUMBER}
    | (?:numero{_OF})?(?:securitesociale|seguridadsocial|segurancasocial|passeport|pasaporte
        |passaporto|tesserasanitaria|cartaosus) | numero{_OF}secu
    | (?:nr|num|nu|co)?(?:cpf|cns)(?:{_PATIENT}|prof(?:issional)?|mae|pac)
    | (?:nr|num|nu)cpf | dni | nif | curp | rut | cpf | codicefiscale | bsn | burgerservicenummer
    | paspoortnummer
    | (?:polis|verzekerings)nummer | nhc | historiaclinica | numerod[nov]
    | numero{_OF}historia(?:clinica)? | nss | (?:numero{_OF})?expediente(?:clinico)?
    | (?:numero{_OF})?cedula(?:{_OF}(?:identidad|ciudadania))?
    | nuprontua(?:rio)? | nucartao(?:sus)?
    | (?:numero{_OF})?(?:prontuario|cartellaclinica) | personnummer | cpr(?:nr|nummer)
"""
_STAFF = rf"""
    (?:referring|requesting|consulting|performing|scheduledperforming)?physicians?(?:name|address)?
    | physicianapprovinginterpretation | interpretation(?:author|recorder|transcriber)
    | (?:secondary)?reviewername | evaluatorname | humanperformername | contentcreatorname
    | verifyingobservername | namesofintendedrecipients.* | distributionname | orderenteredby
    | documentauthor(?:trial)? | currentobserver(?:trial)? | verbalsource(?:trial)?
    | roiinterpreter | selectorpnvalue
    | {_CALLED}(?:doctors?|drs?|gps?)(?:name)? | doctors?name | physiciansofrecord
    | nameofphysicians.* | operators?(?:name)? | (?:radiologist|annotator|reader|surgeon|nurse
        |technician|technologist|radiographer|sonographer|pathologist|dr|gp|consultant|clinician
        |practitioner|registrar|resident|specialist|referrer|reporter|typist)s?name
    | responsibleperson | institutionaddress
    | (?:behandelnder|zuweisender|uberweisender|haus)arzt | (?:arzt|radiologen)namen? | zuweiser
    | nom{_OF}(?:medecin|radiologue) | medecin(?:traitant|prescripteur|referent)
    | nom(?:br)?e{_OF}(?:medico|radiologo) | medic[oa](?:tratante|solicitante|curante|responsable)
    | huisarts | verwijzer
"""
_OTHERS = rf"patientcomments | occupation | {_PERSON}?religiouspreference"
IDENTIFYING = re.compile(
    "|".join((_NAMES, _BIRTHS, _CONTACTS, _NUMBERS, _STAFF, _OTHERS)), re.VERBOSE
)
# Short names of numbers with more than the number of a column behind are genes: CEP17.
GENE = re.compile(r"(?:cep|rut|nif|nss|dni|ddn|bsn|cnp) ?\d{2,}")
BARE_NAME = re.compile(_NAME)
# Those of people, or the first and the last slice.
FIRST_OR_LAST = re.compile("first|middle|last")
# Fields 34 and 52 of UK Biobank are the year and month of birth, 129 and 130 its place, 20074 and
# 20075 where somebody lives; beside its `eid` only.
BIRTH_OF_BIOBANK = re.compile(
    r"p(?:34|52)|[fnx]?(?:34|52)00|p(?:129|130|2007[45])(?:i\d)?|[fnx]?(?:129|130|2007[45])\d0"
)
ID_OF_BIOBANK = frozenset({"eid", "feid", "neid"})
LAST_NAME = re.compile(f"{_PERSON}?(?:l|last|sur|family)(?:name|nm)")
# People, and kinds of names, of whom some tables have names and others codes.
_ROLE = r"""(?:child|baby|infant|newborn|donor|client|customer|owner|individual|respondent|informant
    |victim|witness|volunteer|student|pupil|teacher|worker|staff|parent|mom|mum|dad|son|daughter
    |sister|brother|sibling|partner|relative|carer|care(?:giver|taker)|guarantor|beneficiary|insured
    |subscriber|(?:account|card|policy)holder|provider|therapist|dentist|midwife|[a-z]{3,}ologist
    |examiner|assessor|prov|member|physi?|r\d|reader\d|rater|grader|scorer|labell?er|observer|expert|investigator|interviewe
        |examiner|assessor|prov|member|physi?|r\d|reader\d|rater|grader|scorer|labell?er|observer|expert|investigator|interviewer
    |assistant|author|uploader|submitter|md|rad|tech|subj)s?"""
_KIND_OF_NAME = "(?:preferred|previous|former|chosen)"
# Whom FHIR has references to, whose `display` is a name.
_REFERRED = """(?:(?:results)?interpreter|performer|requester|recorder|asserter|practitioner|actor
    |who|attester|verifier|enterer|prescriber|dispenser|operator|radiologist|physician|doctor
    |surgeon|nurse|technician|reviewer|annotator|reader|referrer|reporter|member|party|collector
    |other|informationsource|sender|recipient|source|enteredby|payor|payer|authenticator|individual
    |participant|agent|onbehalfof|subscriber|policyholder|assigner|receiver|witness)s?"""
_ROLES = (
    f"(?:{_ROLE}|{_KIND_OF_NAME}){_NAME} | {_NAME}{_OF}{_ROLE} | {_ROLE}(?:initials|log(?:in|on))"
    f"| (?:{_ROLE}|{_REFERRED})display(?:{_NAME})?"
)
ROLE_NAME = re.compile(_ROLES, re.VERBOSE)
# With a thing before it, this is that thing's: `class_full_name`, `image_address`.
NAME_OF_THING = re.compile(
    r"(?:full|family|parent|provider|preferred|previous|former)names?|nom(?:br)?ecompleto|address"
)
MAYBE = re.compile(
    rf"""
    {_NAME} | pname | names?\d+text | personnr | {_ROLES} | (?:patient|paciente|paziente)
    | {_PATIENT}(?:{_NUMBER}|identifier(?:value)?)
    | (?:numero|id|identifiant|identificador|identificativo|codigo|codice){_OF}
        (?:patient|paciente|paziente) | ipp | (?:numero{_OF})?dossier{_NUMBER}?
    | hospital{_NUMBER} | klinik{_NUMBER} | fall{_NUMBER} | aufnahme{_NUMBER} | auftrags{_NUMBER}
    | (?:zis|dossier){_NUMBER} | doctors? | arzt(?:in)? | medecin | medic[oa] | behandelaar
    | surgeons? | technicians? | technologists? | radiographers? | sonographers? | pathologists?
    | (?:case|reg(?:istration)?)(?:numbers?|nos?|nr)
    | (?:hn|hcn|phn){_NUMBER}? | med(?:ical)?rec(?:ord)?s?
    | (?:admission|adm|emr|ehr|empi|member|subscriber|insured|beneficiary|account|acct|employee
        |staff){_NUMBER}
    | consultants? | {_CALLED}(?:radiologists?|consultants?|clinicians?)
    | (?:{_CALLED}|ref(?:er)?|att|req|ord|admitting|responsible|primarycare)
        (?:drs?|gps?|phys(?:icians?)?|doctors?|providers?){_NAME}?
    | {_CALLED}mds?{_NAME}? | attending
    | (?:signed|reported|read|approved|verified|dictated|transcribed|referred|refe?r?d
        |entered|typed|checked|ordered|requested|examined|created|updated|uploaded|submitted)by
    | (?:reviewed|performed|annotated|labell?ed|recorded|authori[sz]ed|completed|acquired|scanned
        |consented|(?:last)?modified)by
    | contact(?:person|info) | (?:pi|pcp)names? | principalinvestigators?
    | (?:pat)?enccsn{_NUMBER}? | personsourcevalue | redcapsurveyidentifier | naih
    | physician(?:followup|managing|primarysurg)
    | {_NAME}{_OF}(?:doctors?|physicians?|radiologists?)
    | befunder(?:in)? | befundetvon | untersucher(?:in)? | radiolog[oa]informante
    | (?:informado|solicitado|firmado)por | medicopeticionario | medicorichiedente
    | uberweiser(?:in)? | (?:vidierender|anfordernder)arzt | reportfinali[sz]edby
    | medecindemandeur | prescripteur | medicorefertante
    | radiolog(?:ists?|en?|in|ue|[oa]) | radioloog
    """,
    re.VERBOSE,
)
# Of the sections of reports, as CheXpert Plus, CT-RATE, MIMIC-CXR and Open-i publish them.
_LANGUAGE = "(?:en|es|de|fr|it|pt|nl|zh|cn|ja|ko|ru|vi|tr|pl|english|translated)"
FREE_TEXT = re.compile(
    rf"""
    (?:ct|mri?|xray|us|pet|radiology|radiological|path(?:ology)?|clinical|medical|doctors?
        |physicians?|nurses?|study|image|exam(?:ination)?|original|full|final|free|sections?|raw
        |clean(?:ed)?|parsed|generated|predicted|gt|groundtruth|reference|procedure|endof
        |discharge|progress|note|report|rad|case|translated|annotat(?:ions?|ors?)|op|freetext|text|nursing|operative|cytology|structured|narrative|english
        |patient|encounter|document|admission|triage|gpt\d*|chatgpt|llm|ai)*
    (?:reports?|findings(?:and)?impressions?|findings|impressions?|(?<=[a-z0-9])summar(?:y|ies)|indications?|comments?|remarks?|notes?|narratives?
        |conclusions?|history|addend(?:um|a)|comparisons?
        |(?<=section)(?:technique|examination|recommendations?)
        |(?<=free)text|(?<=full)text|(?<=raw)text|(?<=original)text|(?<=discharge)text|(?<=document)text
        |(?<=clinical)text|(?<=medical)text|(?<=radiology)text|(?<=pathology)text)
        (?:text|section|body|raw|clean(?:ed)?|original|parsed|final|content|html|txt|xml)?{_LANGUAGE}?
    | (?:other|additional|general|radiologists?|qc|readers?)(?:comments?|notes?|remarks?)
    | (?:history)?(?:of)?presentillness | hpi | coval | snippets? | ocrtext | \w*textdiv
    | (?:gross|microscopic)description | memos? | descriptionoffindings | findingtext
    | assessmentandplan | textremarks | textusual(?:occup|industry) | commentsystemadmin
    | ptwork | rxtext\w* | textdxproc\w* | renseignementscliniques
    | klinischegegevens | anamnesi | quesito(?:clinico)?
    | (?:payload)?contentstring
    | epikrise | fragestellung | klinischeangaben | verslagtekst | textoinforme | testoreferto
    | (?:presentedform|(?:content)?attachments?)(?:data|url|title)?
    | text{_LANGUAGE}? | technique{_LANGUAGE} | lastparagraph
    | clinical(?:info(?:rmation)?|details){_LANGUAGE}? | reasonfor(?:the)?(?:exam(?:ination)?|study)
    | diagnos[ie]stext | dictations?(?:text)? | transcript(?:ion)?s?(?:text)?
    | (?:chief)?complaints? | dischargesummary
    | (?:radiologischer)?befund(?:e|text|bericht)? | beurteilung | bemerkung(?:en)? | kommentare?
    | notiz(?:en)? | anamnese | freitext | bericht | arztbrief
    | compterendu | rapport(?:radiologique)? | commentaires? | remarques? | observations?
    | informe(?:radiologico|original|completo|texto)? | hallazgos | impresion | comentarios?
    | observacion(?:es)?
    | conclusion(?:es)? | referto | commenti | osservazioni | conclusioni
    | laudo(?:texto)? | textolaudo | conclus(?:ao|oes) | relatorio | achados | impressao
    | observacoes
    | verslag | bevindingen | opmerking(?:en)? | conclusie
    """,
    re.VERBOSE,
)
# The last words of keys whose names are not those of people.
THING = re.compile(
    r"(?:.* )?(?:categor(?:y|ies)|diagnos[ie]s|stud(?:y|ies)|series|class(?:es)?|anatomy|modality"
    r"|(?:annotation|attribute|b?box|bone|channel|code|column|concept|contour|dataset|device|disease"
    r"|feature|file|finding|gene|image|instance|keypoint|label|landmark|lesion|manufacturer|mark"
    r"|marker|mask|measurement|model|nodule|object|organ|part|polygon|prediction|procedure|protocol"
    r"|region|roi|scanner|segment|segmentation|sequence|shape|structure|tag|task|tumou?r|vessel"
    r"|classification|view)(?:e?s)?)(?: json)?"
)
# `fname` is the name of a file, and `pTNM` a stage of cancer.
# `fnac` is a cytology.
SEPARATED = re.compile(r"f (?:name|nm)|pts? nm|[lm] nm|f nac|(?:[a-z]+ )+username")
# Somebody by what they are: `dermatologist`, `verified_by_radiologist`. A `grade_radiologist` is a
# reading, and `n_radiologists` a number.
SPECIALIST = re.compile(
    r"(?!.*\b(?:grades?|scores?|ratings|malignancy|[bp]i ?rads|labels?|class|truth|votes?"
    r"|confidence|agreements?|has|n|no|nr|num|number|count|total|years) )"
    r"(?:[a-z0-9]+ )*[a-z]{2,}ologists?(?: \d+)?"
)
# Whatever they are of, and whoever wrote them.
NOTES = re.compile(
    r"(?!(?:n|nb|nr|no|num|number|count|total|avg|mean|min|max|len|length|has|is|with|missing"
    r"|release|licen[cs]e|usage) )(?:[a-z0-9]+ )*"
    r"(?:comments|notes|remarks)"
    r"(?: (?:by|of|the|rater|reader|reviewer|annotator|observer|radiologist|on [a-z]+|in [a-z]+"
    r"|free text|\d+(?:st|nd|rd|th)?))*"
)
# Names of people beside what tables say of them: `name_age_sex`.
NAME_AND_MORE = re.compile(
    rf"{_NAME}(?: (?:and|age|sex|gender|address))+|(?:(?:age|sex|gender|address) )+and {_NAME}"
)
# In a longer name these tell nobody: `patient_birth_weight`, `mobile_phone_model`.
VAGUE = re.compile(
    rf"{_PERSON}(?:first|middle|last)|{_PERSON}?(?:birth|initials?|mobile|tel|fax|zip|street|login|(?:mobile|cell)phone)|rut|cep"
)
# As a name of its own among several, fewer tell nobody (`age (birth)`), or only maybe somebody.
_BIRTH_ALONE = "(?:naissance|nascimento|nacimiento|nascita|geburt|geboorte)"
VAGUE_PART = re.compile(rf"{_PERSON}?birth|{_BIRTH_ALONE}")
UNSURE_PART = re.compile(rf"{_PERSON}?(?:mobile|zip|login)|rut|cep")
# As one word of several, these tell nobody either: `username_count`, `valores_iniciales`.
VAGUE_WORD = re.compile(
    rf"user(?:login)?names?|login(?:name)?|operators?|{_PERSON}?physicians?|occupation|cellulare"
    rf"|movil|{_BIRTH_ALONE}|geboren|nacid[oa]|ini(?:tialen|tiales|ziali|ciais|ciales)|.{{0,4}}"
)
SURE_WORD = re.compile(r"e?mail|[dy]ob|bday|mrn|ssn|bsn|iban|uhid|nric")
# Words after which a word alone is not that of a person: `phone_model`.
OF_DEVICE = frozenset({"app", "brand", "camera", "make", "model", "os", "resolution", "type"})
# Nor does a span that ends so, as in `mr_no_contrast`, unless it is a number of people.
COUNTED = frozenset({"no", "nos", "nr", "num", "number", "numbers", "id", "ids"})
COUNTS_PEOPLE = re.compile(
    r"accession|national|record|insurance|licen[cs]e|security|passport|health|medica(?:re|id)"
)
# Within a word without anything between its parts: `rawpatientname`.
WITHIN_WORD = re.compile(
    r"(?:patient(?:s|en)?|surgeon|physician)(?:sur|last|first|middle|given|full|birth)?names?"
    r"|(?:first|sur|maiden|(?<![bp])last)names?|dateofbirth|birth(?:date|day)|geburtsdatum"
    r"|accessionn|phonen(?:o|u)m?|emailaddr|socialsecurity|(?<!fla)(?<!fa)vorname|nachname"
)
