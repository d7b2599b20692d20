"""All settings; those that an operator may change come from the environment or from `.env`.

`.env.example` lists them and docs/deploy.md explains them.
"""

import re
from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from medagg.runner import embedded

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(env.str("MEDAGG_ENV_FILE", default=str(BASE_DIR / ".env")))

# --- Where things live ------------------------------------------------------------------------
VAR_DIR = Path(env.str("MEDAGG_VAR", default=str(BASE_DIR / "var"))).resolve()
# Local copies of datasets must lie in one of these folders; the first is the default home.
DATASET_ROOTS = [
    Path(root).resolve()
    for root in env.list("MEDAGG_DATASET_ROOTS", default=[str(VAR_DIR / "datasets")])
]
ARCHIVE_ROOT = Path(env.str("MEDAGG_ARCHIVE_ROOT", default=str(VAR_DIR / "archives"))).resolve()
# Or archives lie in a bucket: s3://bucket/prefix. Browsers download from the public endpoint.
ARCHIVE_STORAGE = env.str("ARCHIVE_STORAGE", default="").rstrip("/")
ARCHIVE_S3_ENDPOINT = env.str("ARCHIVE_S3_ENDPOINT", default="").rstrip("/")
ARCHIVE_S3_PUBLIC_ENDPOINT = env.str("ARCHIVE_S3_PUBLIC_ENDPOINT", default="").rstrip("/")
ARCHIVE_S3_REGION = env.str("ARCHIVE_S3_REGION", default="us-east-1")
ARCHIVE_S3_ACCESS_KEY_ID = env.str("ARCHIVE_S3_ACCESS_KEY_ID", default="")
ARCHIVE_S3_SECRET_ACCESS_KEY = env.str("ARCHIVE_S3_SECRET_ACCESS_KEY", default="")
# The prefixes that nginx maps to them as internal locations, in their order. Django itself sends
# files from a root that has none.
X_ACCEL_DATASETS = env.list("X_ACCEL_DATASETS", default=[])
PREVIEW_ROOT = VAR_DIR / "previews"
# The cache of previews: the least recently used go. None is kept that would leave less than the
# reserve on the disk.
PREVIEW_CACHE_MAX_BYTES = env.int("PREVIEW_CACHE_MAX_BYTES", default=5 * 1024**3)
PREVIEW_RESERVE_BYTES = env.int("PREVIEW_RESERVE_BYTES", default=1024**3)
# Files that lie elsewhere: the buckets and hosts that may be asked; a mirror or test server that
# stands in for the IDC's (its endpoint, and the one bucket that it has); endpoints and keys of
# others.
FETCH_BUCKETS = env.list(
    "FETCH_BUCKETS", default=["idc-open-data", "idc-open-data-two", "idc-open-data-cr"]
)
IDC_S3_ENDPOINT = env.str("IDC_S3_ENDPOINT", default="").rstrip("/")
IDC_S3_BUCKET = env.str("IDC_S3_BUCKET", default="")
FETCH_HOSTS = env.list("FETCH_HOSTS", default=[])
FETCH_ENDPOINTS = {
    place: endpoint.rstrip("/")
    for place, endpoint in env.dict("FETCH_ENDPOINTS", default={}).items()
}
FETCH_KEYS = env.dict("FETCH_KEYS", default={})
if _wrong := [host for host in FETCH_HOSTS if "/" in host]:
    raise ImproperlyConfigured(f"FETCH_HOSTS: write {_wrong[0]!r} without https:// and path")
for _place, _endpoint in FETCH_ENDPOINTS.items():
    if not _endpoint.startswith(("https://", "http://")):
        raise ImproperlyConfigured(f"FETCH_ENDPOINTS: {_place}={_endpoint} has no https://")
for _place, _keys in FETCH_KEYS.items():
    if ":" not in _keys:
        raise ImproperlyConfigured(f"FETCH_KEYS: write {_place}=access-key:secret-key")
# Their cache on the disk of each builder: the least recently used go.
REMOTE_CACHE_ROOT = VAR_DIR / "remote-cache"
REMOTE_CACHE_MAX_BYTES = env.int("REMOTE_CACHE_MAX_BYTES", default=50 * 1024**3)
# Transfers of one build at a time: of small files the time until each answer begins is what counts.
# A source that sends less than that a second is given up.
FETCH_PARALLEL = env.int("FETCH_PARALLEL", default=16)
FETCH_MIN_RATE = env.int("FETCH_MIN_RATE", default=10_000)
FETCH_STALL_SECONDS = env.int("FETCH_STALL_SECONDS", default=30)
# Previews of series that lie elsewhere are made of one file each, of at most so many bytes (0: none
# are made), and only so many within a minute: for one client, and for all.
REMOTE_PREVIEW_MAX_BYTES = env.int("REMOTE_PREVIEW_MAX_BYTES", default=32 * 1024**2)
REMOTE_PREVIEWS_PER_CLIENT = env.int("REMOTE_PREVIEWS_PER_CLIENT", default=100)
REMOTE_PREVIEWS_PER_MINUTE = env.int("REMOTE_PREVIEWS_PER_MINUTE", default=300)

# --- Security ---------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
# A deployment names its key; on a laptop manage.py makes a random one that stays in var/.
SECRET_KEY_FILE = VAR_DIR / "secret-key"
SECRET_KEY = env.str("SECRET_KEY", default="") or embedded.read_secret(SECRET_KEY_FILE)
# The names that stand for patients follow from this key, so they outlive a change of the other one.
PSEUDONYM_KEY_FILE = VAR_DIR / "pseudonym-key"
_PSEUDONYM_KEY = env.str("PSEUDONYM_KEY", default="") or embedded.read_secret(PSEUDONYM_KEY_FILE)
HAS_PSEUDONYM_KEY = bool(_PSEUDONYM_KEY)
# `check --deploy` warns of the second.
PSEUDONYM_KEY = _PSEUDONYM_KEY or SECRET_KEY
for _name, _key in (("SECRET_KEY", SECRET_KEY), ("PSEUDONYM_KEY", PSEUDONYM_KEY)):
    if _weakness := embedded.find_weakness(_key):
        raise ImproperlyConfigured(f"{_name} {_weakness}")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# HTTPS=1 is for a server behind a TLS-terminating proxy; `manage.py up` serves plain 127.0.0.1.
HTTPS = env.bool("HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz/$", r"^readyz/$"]
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if HTTPS else 0)
# Only who owns all names below this one can ask for these two: neither can be taken back soon.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # which ask for both
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Addresses or networks of the proxies whose X-Forwarded-For says who the client is.
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
SECURE_REFERRER_POLICY = "same-origin"
SESSION_ENGINE = "medagg.accounts.sessions"
SESSION_COOKIE_NAME = env.str("SESSION_COOKIE_NAME", default="medagg_session")
# Never in the session, which for a visitor would be a row of the database.
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
CSRF_COOKIE_NAME = env.str("CSRF_COOKIE_NAME", default="medagg_csrf")
X_FRAME_OPTIONS = "DENY"
# Pages load nothing from elsewhere and run no inline script.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
CSRF_FAILURE_VIEW = "medagg.errors.csrf_failure"

# --- Application ------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_filters",
    "csp",
    "django_htmx",
    "axes",
    "medagg.apps.MedaggConfig",
    "vocab",
    "catalog",
    "collections_app",
]
MIDDLEWARE = [
    "medagg.observing.middleware.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "medagg.busy.BusyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Before all that reads forms, and after what says who sends them.
    "medagg.observing.middleware.ReadableMiddleware",
    "medagg.busy.UsersMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "medagg.throttling.ThrottleMiddleware",
    # Last, as it replaces the answer to a sign-in that is locked.
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "medagg.urls"
WSGI_APPLICATION = "medagg.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "collections_app.context_processors.basket",
                "collections_app.context_processors.notices",
                "medagg.accounts.context_processors.registration",
            ],
            "builtins": [
                "catalog.templatetags.catalog_format",
                "catalog.templatetags.catalog_repeated",
            ],
        },
    },
    {  # for what a page repeats a hundred times
        "NAME": "jinja2",
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {"environment": "catalog.templatetags.catalog_repeated.environment"},
    },
]
LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_I18N = False
USE_TZ = True
USE_THOUSAND_SEPARATOR = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- PostgreSQL and Redis: named ones, else the embedded ones under var/ ------------------------
DATABASE_URL = env.str("DATABASE_URL", default="") or embedded.database_url(VAR_DIR)
_DATABASE = env.db_url_config(DATABASE_URL)
DATABASES = {
    "default": {
        **_DATABASE,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # A host that drops packets must not block /readyz/ and every page for minutes.
        "OPTIONS": {"connect_timeout": 5, **_DATABASE.get("OPTIONS", {})},
    }
}
# On this disk PostgreSQL keeps its data; of a server elsewhere the program cannot know it.
DATABASE_FOLDER = None if env.str("DATABASE_URL", default="") else VAR_DIR
# A freeze that would leave less than this on that disk does not begin.
DATABASE_RESERVE_BYTES = env.int("DATABASE_RESERVE_BYTES", default=1024**3)
# The most that the database may take, wherever it lies; 0: no limit.
DATABASE_MAX_BYTES = env.int("DATABASE_MAX_BYTES", default=0)
REDIS_URL = env.str("REDIS_URL", default="") or embedded.redis_url(VAR_DIR)

# --- Celery -----------------------------------------------------------------------------------
# The limits follow from one another: a build stops itself before Celery kills it, Celery kills it
# before its last lease lapses, and the broker hands a task out again only after that.
BUILD_SOFT_LIMIT = env.int("BUILD_SOFT_LIMIT", default=3 * 3600)
BUILD_HARD_LIMIT = BUILD_SOFT_LIMIT + 60
# A live worker renews its lease about once a second; a lease that lapses means a dead worker.
BUILD_LEASE_SECONDS = env.int("BUILD_LEASE_SECONDS", default=60)
BUILD_MAX_ATTEMPTS = 3
CELERY_BROKER_URL = embedded.celery_broker_url(REDIS_URL)
# No lease ends later than that: a heartbeat renews it, and the hard limit ends the heartbeat.
BUILD_LAST_LEASE = BUILD_HARD_LIMIT + BUILD_LEASE_SECONDS
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": BUILD_LAST_LEASE + 600,
    # A page that sends a message waits no longer for a Redis that does not answer.
    "socket_connect_timeout": 5,
    "socket_timeout": 5,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A build may take hours: it keeps neither the sweep and mails nor verifications waiting.
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "collections_app.tasks.build_collection_task": {"queue": "builds"},
    "collections_app.tasks.verify_archive_task": {"queue": "verify"},
    # Redis gives those of 0 first: however many pictures wait, the sweep and mails do not.
    "catalog.tasks.make_remote_previews_task": {"queue": "default", "priority": 9},
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.2}
SWEEP_SECONDS = env.int("SWEEP_SECONDS", default=30)
EVICTION_SECONDS = 600
# Not once a day: a clock that is started anew more often would never come to it.
SESSIONS_SECONDS = 3600
CELERY_BEAT_SCHEDULER = "medagg.beat.Scheduler"
CELERY_BEAT_SCHEDULE = {
    "sweep-collections": {
        "task": "collections_app.tasks.sweep_collections_task",
        "schedule": SWEEP_SECONDS,
        # A sweep that was not taken in time is dropped, as the next one does the same work.
        "options": {"expires": SWEEP_SECONDS},
    },
    "evict-previews": {
        "task": "catalog.tasks.evict_previews_task",
        "schedule": EVICTION_SECONDS,
        "options": {"expires": EVICTION_SECONDS},
    },
    "clear-sessions": {
        "task": "medagg.tasks.clear_sessions_task",
        "schedule": SESSIONS_SECONDS,
        "options": {"expires": SESSIONS_SECONDS},
    },
}

# --- Collections ------------------------------------------------------------------------------
COLLECTION_MAX_IMAGES = env.int("COLLECTION_MAX_IMAGES", default=200_000)
COLLECTION_MAX_BYTES = env.int("COLLECTION_MAX_BYTES", default=50 * 1024**3)
# What one user may have at a time: builds queued or running, and bytes of archives.
COLLECTION_MAX_PENDING = env.int("COLLECTION_MAX_PENDING", default=5)
COLLECTION_MAX_KEPT_BYTES = env.int("COLLECTION_MAX_KEPT_BYTES", default=200 * 1024**3)
# What one user may have in all: collections, and images in all of them together.
COLLECTION_MAX_COUNT = env.int("COLLECTION_MAX_COUNT", default=1_000)
COLLECTION_MAX_ITEMS = env.int("COLLECTION_MAX_ITEMS", default=10_000_000)
# New collections of one user within an hour.
COLLECTION_MAX_PER_HOUR = env.int("COLLECTION_MAX_PER_HOUR", default=60)
# Bytes to fetch from elsewhere: for one collection, and for all of a user within a day.
FETCH_MAX_BYTES = env.int("FETCH_MAX_BYTES", default=20 * 1024**3)
FETCH_MAX_DAY_BYTES = env.int("FETCH_MAX_DAY_BYTES", default=100 * 1024**3)
_lifetime = env.str("COLLECTION_LIFETIME_DAYS", default="14")
# Dates end with the year 9999. Not env.float, which reads 4e+06 as 406.
if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]+)?", _lifetime) or float(_lifetime) > 36_500:
    raise ImproperlyConfigured(f"COLLECTION_LIFETIME_DAYS is “{_lifetime}”: it can be 0 to 36500")
COLLECTION_LIFETIME_DAYS = float(_lifetime)
# A build that would leave less than this on the disk of the archives does not begin.
ARCHIVE_RESERVE_BYTES = env.int("ARCHIVE_RESERVE_BYTES", default=1024**3)
# Threads of each web process, as gunicorn was started with: a quarter is for pages, some are for
# sign-ins, and of the others three quarters may send files.
WEB_THREADS = env.int("WEB_THREADS", default=32)
# The prefix that nginx maps to ARCHIVE_ROOT as an internal location; empty: Django serves.
X_ACCEL_PREFIX = env.str("X_ACCEL_PREFIX", default="")

# --- Files, mail, accounts --------------------------------------------------------------------
# DICOM files leave the server, also in archives, after the basic profile of DICOM PS3.15.
DEIDENTIFY_ON_DELIVERY = env.bool("DEIDENTIFY_ON_DELIVERY", default=False)
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(VAR_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Without EMAIL_URL mails are written to var/mail, where the operator can read them.
EMAIL_IS_CONFIGURED = bool(env.str("EMAIL_URL", default=""))
if EMAIL_IS_CONFIGURED:
    vars().update(env.email_url("EMAIL_URL"))
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(VAR_DIR / "mail")
# A mail server that says nothing holds up the task that sends for this many seconds, and no page.
EMAIL_TIMEOUT = 10
# What links in mails begin with: a worker sees no request from which to learn it.
SITE_URL = env.str("SITE_URL", default="").rstrip("/") or (
    f"{'https' if HTTPS else 'http'}://{(ALLOWED_HOSTS or [''])[0].lstrip('.*') or 'localhost'}"
)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="medagg@localhost")
PASSWORD_HASHERS = ["medagg.accounts.hashing.FewAtATimePBKDF2"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "medagg.accounts.passwords.PasswordOfAccount"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# 0: only operators make accounts, in the admin.
REGISTRATION_OPEN = env.bool("REGISTRATION_OPEN", default=True)
# 1: who signs up can sign in once an operator has approved the account, in the admin.
REGISTRATION_NEEDS_APPROVAL = env.bool("REGISTRATION_NEEDS_APPROVAL", default=False)
# How many files of images one address may fetch in an hour without signing in.
VISITOR_FILES_PER_HOUR = env.int("VISITOR_FILES_PER_HOUR", default=300)
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "medagg.accounts.backends.NameOrAddressBackend",
]
# Failed sign-ins lock an account for the address that they come from, and for nobody else; a lock
# ends, whatever is tried meanwhile. ``medagg.throttling`` limits all sign-ins of an address.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_CLIENT_IP_CALLABLE = "medagg.client_address.client_address"
AXES_USERNAME_CALLABLE = "medagg.accounts.backends.counted_name"
AXES_LOCKOUT_CALLABLE = "medagg.accounts.backends.locked_out"
AXES_VERBOSE = False
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "collection-list"
LOGOUT_REDIRECT_URL = "home"

# --- Logs and figures -------------------------------------------------------------------------
# "json" for a machine that collects the lines; "text" for people.
LOG_FORMAT = env.str("LOG_FORMAT", default="text")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
for _name, _value, _allowed in (
    ("LOG_FORMAT", LOG_FORMAT, "text json"),
    ("LOG_LEVEL", LOG_LEVEL, "DEBUG INFO WARNING ERROR CRITICAL"),
):
    if _value not in _allowed.split():
        raise ImproperlyConfigured(f"{_name} is “{_value}”: it can be one of {_allowed}")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"outside_noise": {"()": "medagg.observing.logs.OutsideNoiseFilter"}},
    "formatters": {"line": {"()": "medagg.observing.logs.make_formatter", "name": LOG_FORMAT}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["outside_noise"],
        },
        "none": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"propagate": True},
        # It quotes values of files, however long, and pages show what is wrong with a file.
        "pydicom": {"handlers": ["none"], "propagate": False},
        # It quotes the headers of a source that it cannot read, however long.
        "urllib3.connection": {"level": "ERROR"},
        # With DEBUG it quotes the arguments of tasks, such as the address of a mail.
        "celery.pool": {"level": "WARNING"},
        # With DEBUG it quotes the signatures of addresses of archives.
        "botocore": {"level": "WARNING"},
        # It tells of each sign-in, in four lines.
        "axes": {"level": "WARNING"},
    },
}
# Who has it may read /metrics; without one there is no such page.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
