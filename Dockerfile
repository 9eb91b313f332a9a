# The platform as one image: each service is a process of its own, named by the command.
#
#     docker run pollux serve api
#
# BASE is any Debian with Python 3.11 to 3.13, and its venv, as python3.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
# For a package index or a certificate authority of your own: what pip and uv read.
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
# Bytecode is written here, once: where nothing can be written, every start would compile everything.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/pollux/.venv
WORKDIR /opt/pollux
COPY pyproject.toml requirements.lock ./
# uv is one of the locked packages. pip installs it, in an environment that stays behind.
RUN python3 -m venv /opt/uv && python3 -m venv --without-pip .venv \
    && sed -n '/^uv==/,/^    #/p' requirements.lock \
    | /opt/uv/bin/pip install --quiet --require-hashes --requirement /dev/stdin
# The locked versions, hashes included, without what only developers need.
RUN /opt/uv/bin/uv pip install --quiet --constraint requirements.lock --requirement pyproject.toml \
    --group pipeline --group services --group dashboard
COPY . .
RUN /opt/uv/bin/uv pip install --quiet --no-deps --build-constraint requirements.lock --editable . \
    && python3 -m compileall -q cli orchestration pollux sample services && rm .venv/.lock

FROM ${BASE}
# LightGBM needs OpenMP. Volumes begin as these folders are: closed, and of the user.
RUN apt-get update --quiet=2 \
    && apt-get install --quiet=2 --yes --no-install-recommends ca-certificates libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin pollux \
    && install --directory --owner pollux --group pollux --mode 700 /data /backups
COPY --from=build /opt/pollux /opt/pollux
# In a container 127.0.0.1 is nobody else's: services listen on all addresses, and so ask for keys.
ENV PATH=/opt/pollux/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp \
    POLLUX_DATA_DIR=/data POLLUX_API_HOST=0.0.0.0 POLLUX_DASHBOARD_HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/backups"]
EXPOSE 8000 8001 8002 8003 8501 3000
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m CMD ["python", "-m", "cli.healthy"]
ENTRYPOINT ["pollux"]
CMD ["serve", "api"]

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Pollux" \
    org.opencontainers.image.description="From a retailer's raw data to tested, served answers about its customers." \
    org.opencontainers.image.source="https://github.com/pollux-analytics/pollux" \
    org.opencontainers.image.documentation="https://github.com/pollux-analytics/pollux/blob/main/docs/deploy.md" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
