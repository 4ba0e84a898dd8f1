# syntax=docker/dockerfile:1
# Images for Ray clusters (cluster.yaml, kuberay/): `docker build --target cpu -t voicehelper:cpu .`, `--target gpu` likewise.
# The embedded engines are not started in them: a cluster brings its own PostgreSQL and Redis (docs/deployment.md).

# ---- the application, installed into one virtual environment
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/venv
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY voicehelper voicehelper
COPY actors actors
COPY deployments deployments
COPY pipelines pipelines
RUN /opt/venv/bin/pip install -c constraints.txt ".[otlp,s3]"

# ---- the model files of the manifest, checked by hash
FROM build AS models
ENV VOICEHELPER_CACHE=/models
RUN /opt/venv/bin/voicehelper models pull

# ---- CPU: llama.cpp and CTranslate2
FROM python:3.11-slim-bookworm AS cpu
# KubeRay's probes call wget; libgomp serves the model libraries.
RUN apt-get update && apt-get install -y --no-install-recommends wget libgomp1 procps && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 --create-home ray && install -d -o ray -g ray /var/lib/voicehelper /var/lib/voicehelper/run /var/lib/voicehelper/run/metrics
COPY --from=build /opt/venv /opt/venv
# Ray and KubeRay run their commands in login shells, which start from a PATH of their own.
RUN echo 'export PATH=/opt/venv/bin:$PATH' > /etc/profile.d/voicehelper.sh
COPY --from=models --chown=ray:ray /models /models
COPY --chown=ray:ray serve_config.yaml /app/serve_config.yaml
COPY --chown=ray:ray kuberay /app/kuberay
ENV PATH=/opt/venv/bin:$PATH \
    VOICEHELPER_HOME=/var/lib/voicehelper \
    VOICEHELPER_CACHE=/models \
    PROMETHEUS_MULTIPROC_DIR=/var/lib/voicehelper/run/metrics
USER ray
WORKDIR /app
# For a single container; Ray clusters bring their own command.
CMD ["bash", "-c", "ray start --head --disable-usage-stats && serve run serve_config.yaml"]

# ---- GPU: the same, and vLLM through ray[llm] (the `gpu` extra); the driver comes from the host's container toolkit
FROM nvidia/cuda:12.9.1-devel-ubuntu22.04 AS gpu
RUN apt-get update && apt-get install -y --no-install-recommends python3.11 python3.11-venv python3.11-dev wget libgomp1 procps \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 --create-home ray && install -d -o ray -g ray /var/lib/voicehelper /var/lib/voicehelper/run /var/lib/voicehelper/run/metrics
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY voicehelper voicehelper
COPY actors actors
COPY deployments deployments
COPY pipelines pipelines
RUN echo 'export PATH=/opt/venv/bin:$PATH' > /etc/profile.d/voicehelper.sh
# Without the constraints: vLLM pins versions of its own.
RUN python3.11 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir ".[gpu,otlp,s3]"
COPY --from=models --chown=ray:ray /models /models
COPY --chown=ray:ray serve_config.yaml /app/serve_config.yaml
COPY --chown=ray:ray kuberay /app/kuberay
ENV PATH=/opt/venv/bin:$PATH \
    VOICEHELPER_HOME=/var/lib/voicehelper \
    VOICEHELPER_CACHE=/models \
    PROMETHEUS_MULTIPROC_DIR=/var/lib/voicehelper/run/metrics
USER ray
WORKDIR /app
CMD ["bash", "-c", "ray start --head --disable-usage-stats && serve run serve_config.yaml"]
