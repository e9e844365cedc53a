# docker build --file config/docker/cpu.Dockerfile --tag streamd:cpu .
FROM python:3.11-slim-bookworm AS build
# hnswlib has no wheel; without -march=native the image runs on other processors than this one.
ENV HNSWLIB_NO_NATIVE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends g++ \
  && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/streamd
COPY config/lock/cpu.txt /lock.txt
RUN /opt/streamd/bin/pip install --require-hashes --requirement /lock.txt
WORKDIR /source
COPY . .
RUN /opt/streamd/bin/pip install --no-deps .

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="streamd" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 streamd \
  && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/streamd streamd \
  && install --directory --mode=0700 --owner=streamd --group=streamd /var/lib/streamd /run/streamd
COPY --from=build /opt/streamd /opt/streamd
ENV PATH=/opt/streamd/bin:$PATH \
  PYTHONDONTWRITEBYTECODE=1 \
  STATE_DIRECTORY=/var/lib/streamd \
  RUNTIME_DIRECTORY=/run/streamd \
  STREAMD_CONFIG=/etc/streamd/streamd.yaml
USER 10001
VOLUME /var/lib/streamd
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8470/healthz', timeout=4)"]
ENTRYPOINT ["streamd"]
CMD ["run"]
