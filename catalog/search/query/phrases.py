"""English words of queries besides terms: fixed phrases, stop words. Django-free.

Codes are those of the filters in the URL. A spelling of a vocabulary wins over a phrase here.
"""

from collections.abc import Mapping

# Words between the words of a spelling: "cancer of the lung", "chest and abdomen".
LINK_WORDS = frozenset({"a", "an", "and", "at", "in", "of", "on", "s", "the"})
# Words that carry no meaning in a query for images.
STOP_WORDS = LINK_WORDS | {
    "all", "any", "archive", "are", "but", "by", "case", "cases", "collection", "collections",
    "containing", "data", "dataset", "datasets", "did", "do", "does", "either", "exam",
    "examination", "examinations", "exams",
    "find", "for", "from", "has", "have", "having", "image", "images", "is", "licence",
    "licences", "license", "licensed", "licenses", "modalities", "modality", "only", "or",
    "patient", "patients", "people", "person", "persons", "picture", "pictures", "please",
    "scan", "scans", "search", "show", "showing", "studies", "study", "subject", "subjects",
    "taken", "that", "this", "to", "using", "view", "views", "want", "where", "which", "with",
}  # fmt: skip
# Labels whose words say less than those of others, which they mean as well: who searches for liver
# lesions, or for images without, means tumors, too.
WIDER_LABELS: Mapping[str, tuple[str, ...]] = {
    "adrenal-cancer": ("adrenocortical-carcinoma",),
    "brain-edema": ("peritumoral-edema",),
    "dementia": ("alzheimers-disease",),
    "dermatitis": ("eczema",),
    "glioma": ("low-grade-glioma", "high-grade-glioma", "glioblastoma"),
    "high-grade-glioma": ("glioblastoma",),
    "kidney-mass": ("kidney-tumor", "wilms-tumor"),
    "liver-lesion": (
        "liver-tumor", "liver-metastasis", "liver-hemangioma", "hepatocellular-carcinoma",
        "hepatoblastoma", "focal-nodular-hyperplasia",
    ),
    "macular-edema": ("diabetic-macular-edema",),
    "myopia": ("pathological-myopia",),
    "stroke": ("ischemic-stroke",),
    "uterine-cancer": ("endometrial-cancer",),
    "white-matter-lesion": ("multiple-sclerosis-lesion", "white-matter-hyperintensity"),
}  # fmt: skip
# Spellings that importers need, but that nearly always mean something else in a query: "multiple
# myeloma", "la", "back pain", "plan", "hd"; among views "axial CT", "CC licence", machine learning
# (ML), leg length discrepancy (LLD). On their own they are plain words.
TOO_COMMON = frozenset({
    "ar", "au", "axial", "back", "bi", "cc", "custom", "doc", "em", "eps", "et", "exclude",
    "excluded", "fb", "fid", "hc", "hd", "iol", "la", "len", "ll", "lld", "lm", "ls", "mixed",
    "ml", "multiple", "nor", "not specified", "oblique", "other", "plan", "pos", "resp", "rl",
    "stain", "swimmers", "tangential", "unknown", "unspecified", "va", "various",
})  # fmt: skip
# Ordinary words, and their plurals, that look like typos of a spelling but are not.
ORDINARY_WORDS = frozenset({
    "geriatric", "lirads", "pirads", "tirads",
    "accounting", "acquisition", "augmentation", "brachial", "expression", "ilium", "impression",
    "parotid", "affection", "aggression", "agreeing", "ahead", "alteration",
    "arrow", "arterial", "arthritis", "aspect", "assignment", "attacking", "author", "aviation",
    "basis", "batteries", "battery", "bilateral", "bloom", "bond", "bonus", "booth", "borne",
    "boxed", "boxer", "branch", "branding", "calories", "cancel", "capacity", "cares", "carrier",
    "carry", "cast", "casts", "catch", "center", "challenger", "chip", "clarification", "classic",
    "climb", "colonial", "compacted", "competitive", "competitor", "composition", "computation",
    "construction", "contour", "coral", "corner", "costs", "covariant", "dangerous", "deduction",
    "deletion", "denial", "depressing", "depression", "detective", "detector", "detention",
    "device", "digression", "direction", "election", "emotion", "equality", "exchanged",
    "extremely", "faced", "fatal", "feature", "featured", "federation", "finder", "finer",
    "fleet", "flood", "formal", "funds", "generate", "generating", "geometry", "grabbing",
    "gradient", "grain", "granting", "grouping", "haemorrhagic", "handy", "hang", "hemorrhagic",
    "hospital", "house", "humor", "ileus", "impaired", "imported", "induction", "infected",
    "inflation", "informal", "infusion", "injection", "insertion", "inspection", "instants",
    "instruct", "instrumental", "intention", "investing", "invitation", "kinds", "label",
    "ladder", "land", "larger", "last", "lateralis", "legion", "lesson", "liner", "literal",
    "lived", "lives", "locale", "lordosis", "lover", "lowering", "loyal", "makes", "mammal",
    "marginal", "mark", "matches", "mate", "measure", "measures", "medal", "memorial", "mental",
    "miles", "military", "minus", "miss", "model", "module", "month", "moral", "mount",
    "mounting", "multifocal", "muscular", "navigation", "neuron", "numerous", "octal",
    "oppression", "paper", "passes", "penetration", "perfusion", "perimeter", "pertaining",
    "petition", "pointing", "politics", "profession", "progressive", "pubic", "qualification",
    "racial", "railway", "random", "rational", "recession", "rectus", "regional", "rejection",
    "remarkable", "reported", "reporter", "republic", "resampling", "resolution", "resort",
    "restaging", "restrict", "retaining", "retention", "river", "roman", "rounding", "routines",
    "sales", "sampling", "sand", "screaming", "sequence", "series", "serve", "service", "session",
    "shine", "ships", "sing", "situated", "skill", "skills", "slice", "slices", "south",
    "species", "specs", "spent", "spice", "spike", "spiral", "spite", "splendid", "split",
    "stacking", "stamping", "standing", "starting", "stating", "staying", "stealing", "stiff",
    "stimulate", "strike", "subnormal", "subsampling", "survive", "suspicion", "tale", "tangible",
    "task", "taste", "teaching", "tension", "tenth", "test", "tested", "tester", "testing",
    "threat", "tills", "tilts", "tire", "title", "toils", "towel", "tracing", "trading",
    "trailing", "train", "training", "trial", "triangle", "truck", "tutor", "unaffected",
    "unhealthy", "upgrading", "valid", "validation", "valvular", "vendor", "version", "vertical",
    "vocal", "volume", "vowel", "waist", "watch", "wealthy", "weighted", "youth", "zone",
})  # fmt: skip

# "Don't", "doesn’t": the apostrophe parts two words, if there is one.
_CONTRACTIONS = tuple(
    (word, "t")
    for word in ("aren", "can", "couldn", "didn", "doesn", "don", "hasn", "haven", "isn", "shouldn",
                 "wasn", "weren", "won")
) + tuple((word,) for word in ("didnt", "doesnt", "dont", "hasnt", "havent", "isnt"))  # fmt: skip
_THREE_WORDS = tuple(
    (no, what, "of")
    for no in ("no", "without")
    for what in ("evidence", "finding", "findings", "history", "indication", "presence", "sign",
                 "signs", "suspicion", "trace", "traces")
)  # fmt: skip
_TWO_WORDS = (
    ("other", "than"), ("rather", "than"), ("apart", "from"), ("all", "but"), ("any", "but"),
    ("anything", "but"), ("everything", "but"), ("images", "but"), ("datasets", "but"),
    ("modalities", "but"), ("none", "of"), ("none", "with"), ("none", "from"),
)  # fmt: skip
# Longest first: "no evidence of pneumonia" must not be read as "no" and "evidence …".
NEGATIONS = (
    *_THREE_WORDS, ("absence", "of"),
    ("free", "of"), ("negative", "for"), ("without", "any"), ("not", "any"), ("w", "o"),
    *_TWO_WORDS, *_CONTRACTIONS, ("except",), ("excl",), ("exclude",), ("excluding",), ("lacking",),
    ("minus",), ("neither",), ("never",), ("no",), ("non",), ("nor",), ("not",), ("sans",),
    ("without",),
)  # fmt: skip
# How findings are said to be absent: "no focal consolidation".
_QUALIFIERS = frozenset({
    "active", "acute", "affected", "apparent", "caused", "chronic", "clear", "confirmed",
    "convincing", "definite", "detectable", "diagnosed", "discrete", "evident", "focal", "frank",
    "gross", "infected", "known", "large", "major", "mild", "minor", "moderate", "new", "obvious",
    "old", "overt", "previous", "prior", "radiographic", "recent", "related", "residual", "severe",
    "significant", "small", "such", "suffering", "suspected", "suspicious", "visible",
})  # fmt: skip
EITHER_WAY = (("with", "or", "without"), ("with", "and", "without"), ("with", "without"))
# What may stand between these and what they negate: "not from Kaggle", "no patients with mass".
AFTER_NEGATION = _QUALIFIERS | frozenset({
    "a", "about", "an", "any", "anybody", "anyone", "be", "by", "case", "cases", "contain",
    "containing", "contains", "data", "dataset", "datasets", "either", "for", "from", "has", "have",
    "having", "image", "images", "in", "include", "includes", "including", "individual",
    "individuals", "of", "on", "one", "ones", "participant", "participants", "patient", "patients",
    "people", "person", "persons", "require", "requires", "scan", "scans", "show", "showing",
    "shows", "studies", "subject", "subjects", "the", "those", "to", "use", "uses", "using", "with",
})  # fmt: skip
# These exclude any word that follows. The others may be a part of a description: "without
# contrast", "non-contrast".
EXCLUSIONS = frozenset({
    ("except",), ("exclude",), ("excluding",), ("neither",), ("never",), ("no",), ("nor",),
    ("not",), ("not", "any"), *_TWO_WORDS, *_CONTRACTIONS,
})  # fmt: skip
# A few words before "commercial use", these negate it.
REFUSALS = frozenset({
    "cannot", "except", "forbids", "never", "no", "non", "not", "prohibits", "without",
})  # fmt: skip

# A filter with its codes, of which any has to match, and the phrases that stand for them.
PHRASES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("sex", "F"): (
        "female", "females", "woman", "women", "women s", "woman s", "female sex", "sex female",
        "sex f", "gender female", "gender f",
    ),
    ("sex", "M"): (
        "male", "males", "man", "men", "men s", "man s", "male sex", "sex male", "sex m",
        "gender male", "gender m",
    ),
    ("sex", "O"): ("other sex", "sex other", "sex o", "gender other"),
    ("sex", "unknown"): ("unknown sex", "sex unknown", "gender unknown", "sex not stated"),
    ("age", "unknown"): ("unknown age", "age unknown", "age not stated"),
    ("local", "1"): (
        "local", "locally available", "stored locally", "local copy", "local copies", "local file",
        "local files", "on this server", "stored here", "available here", "downloadable here",
        "downloadable from here", "files here",
    ),
    ("local", "elsewhere", "listed"): (
        "not local", "not locally available", "not on this server", "not stored here",
        "not available here", "not downloadable here", "no local copy", "no local copies",
        "no local file", "no local files", "without local copy", "without local files",
        "no files here", "without files here", "remote only",
    ),
    ("local", "elsewhere"): (
        # Not "elsewhere" alone, which may be said of a finding.
        "elsewhere with an address", "stored elsewhere", "files elsewhere", "available elsewhere",
        "with link", "with links", "with a link", "has a link", "have a link", "with address",
        "with addresses", "with an address", "has an address", "have an address", "with url",
        "with a url", "has a url", "have a url",
    ),
    ("local", "listed"): (
        "listed only", "only listed", "no files", "without files", "without any files",
        "no link", "no links", "without link", "without links", "without a link", "no address",
        "without address", "without an address", "no url", "without url", "without a url",
    ),
    # Not "registration" alone, which also is a task.
    ("access", "open"): (
        "open access", "openly accessible", "openly available", "freely available",
        "freely downloadable", "free access", "no registration", "no registration needed",
        "no registration required", "registration not required", "registration not needed",
        "login not required", "account not required", "without registration",
        "without a registration", "no sign up", "without sign up", "no login",
        "without login", "no account", "without account", "without an account",
    ),
    ("access", "open", "registration"): (
        "no application", "no application needed", "no application required",
        "application not required", "application not needed", "without application",
        "without an application", "without applying",
    ),
    ("access", "registration"): (
        "registration required", "registration needed", "requires registration",
        "after registration", "after a registration", "login required", "free registration",
    ),
    ("access", "application"): (
        "application required", "application needed", "requires application",
        "requires an application", "after application", "after an application",
        "upon application", "access by application",
    ),
    ("access", "unknown"): ("access not stated", "access unknown", "unknown access"),
    ("year", "unknown"): ("year not stated", "year unknown", "unknown year"),
}  # fmt: skip
COMMERCIAL_PHRASES = (
    "commercial use", "for commercial use", "commercially usable", "commercial use allowed",
    "commercial use permitted", "commercial use ok", "commercial usage", "commercial license",
    "commercial licence", "free for commercial use", "allows commercial use", "usable commercially",
    "allowing commercial use", "permits commercial use", "can be used commercially",
)  # fmt: skip
# They contain the name of a view and are anatomy, so they are plain words unless they are terms.
_ANATOMY = tuple(
    f"{view} {part}"
    for view, parts in {
        "frontal": ("lobe", "cortex", "sinus", "sinuses", "bone", "horn"),
        "lateral": (
            "ventricle", "ventricles", "meniscus", "condyle", "epicondyle", "malleolus", "ligament",
            "collateral ligament", "sinus", "wall",
        ),
    }.items()
    for part in parts
)  # fmt: skip
# Here "local" is said of a disease, not of a file.
_LOCAL_DISEASE = tuple(
    f"local {what}"
    for what in (
        "control", "extension", "failure", "invasion", "progression", "recurrence", "recurrences",
        "relapse", "spread", "staging", "tumor control", "tumour control",
    )
)  # fmt: skip
# Some contain a phrase of commercial use and mean the opposite.
PLAIN_PHRASES = (
    *_ANATOMY, *_LOCAL_DISEASE,
    "noncommercial", "noncommercial use", "non commercial", "non commercial use", "uncommercial",
    "commercial use not allowed", "commercial use not permitted", "commercial use prohibited",
    "commercial use forbidden", "commercial use excluded", "no commercial use",
)  # fmt: skip
