# The environment of every node of a cluster: Ray's head and workers, and the MLflow server. From this folder:
#
#   docker build --tag REGISTRY/trainyard:0.1.0 .
#   docker push REGISTRY/trainyard:0.1.0
FROM python:3.11-slim-bookworm

# Ray's cluster launcher copies files into containers by rsync and mends their owner by sudo; its autoscaler, in the head's
# container, reaches each worker by ssh; cluster.yaml ends processes by procps' pkill. KubeRay asks after a node's health by
# wget; a sweep notes the commit of the code that it runs by git.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends curl git openssh-client procps rsync sudo wget \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 ray \
 && echo 'ray ALL=(ALL) NOPASSWD: /usr/bin/chown' > /etc/sudoers.d/ray

# CUDA comes with torch; of the machine only the driver is needed, and its runtime hands over the GPUs that are named here.
# HOME is named for the launcher, which would else mount its files in /root.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HOME=/home/ray

# Not in a virtual environment: whatever shell Ray or Kubernetes starts finds this Python as `python`.
WORKDIR /opt/trainyard
COPY pyproject.toml constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt uv \
 && uv pip install --system --no-cache --constraint constraints.txt --requirements pyproject.toml --extra server

# Last, as it changes most often: a new image then differs from the former by this layer alone.
COPY README.md ./
COPY platform platform
RUN uv pip install --system --no-cache --no-deps .

USER ray
WORKDIR /home/ray
