# containerd-bridge as an image: `docker build --tag containerd-bridge .` (needs BuildKit, Docker's default since Engine 23).
#
# It runs as user 10001. Only the bridge itself, `serve`, needs root, for containerd's socket and the FIFOs of its shims:
# give `--user 0` there. Everything else (`events`, `ps`, `page`, programs on bridge.client) needs none.
#
# Where no package index is reached, give a directory of wheels: --build-context wheels=DIR --build-arg PIP_NO_INDEX=1
ARG PYTHON=3.13

FROM scratch AS wheels

# What it is built on, in the locked versions: built anew only when these change.
FROM python:${PYTHON}-slim AS dependencies
ARG PIP_NO_INDEX
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_FIND_LINKS=/wheels
# pip itself stays outside of what is copied.
RUN python3 -m venv --without-pip /opt/containerd-bridge
COPY requirements/image.txt /build/requirements/
RUN --mount=type=bind,from=wheels,target=/wheels \
    pip --python /opt/containerd-bridge/bin/python3 install --quiet \
      --require-hashes --no-deps --requirement /build/requirements/image.txt

FROM dependencies AS build
ARG PIP_NO_INDEX
ARG PIP_INDEX_URL
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
RUN --mount=type=bind,from=wheels,target=/wheels \
    pip wheel --quiet --no-deps --wheel-dir /dist . \
    && pip --python /opt/containerd-bridge/bin/python3 install --quiet --no-deps --no-index /dist/*.whl

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="containerd-bridge" \
      org.opencontainers.image.description="Every container event of a containerd as one ordered log on NATS JetStream" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent bridge \
    && install --directory --owner bridge --group bridge --mode 0700 /var/lib/containerd-bridge
COPY --from=build /opt/containerd-bridge /opt/containerd-bridge
ENV PATH=/opt/containerd-bridge/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
# Asks what CONTAINERD_BRIDGE_HTTP serves, where it is set.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s CMD ["python3", "-m", "bridge.alive"]
ENTRYPOINT ["containerd-bridge"]
CMD ["--help"]
