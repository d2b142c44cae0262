# The image of `txbox`: relay, migrations, and consumers that need nothing else. docker build -t txbox .
# Behind a mirror: --secret id=pip,src=$HOME/.config/pip/pip.conf --secret id=uv,src=$HOME/.config/uv/uv.toml
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY . .
ENV UV_SYSTEM_CERTS=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
# uv, because it takes versions and hashes from requirements.txt for what is needed of it, and refuses all others.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    awk '/^uv==/,!/\\$/' requirements.txt >uv.txt && python -m pip install --quiet --require-hashes --requirement uv.txt
RUN --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    uv build --quiet --wheel --require-hashes --build-constraint requirements.txt --out-dir /wheels \
 && uv venv --quiet --python "$(command -v python)" /opt/txbox \
 && uv pip install --quiet --python /opt/txbox --only-binary :all: --constraint requirements.txt /wheels/*.whl \
 && rm /opt/txbox/.lock # uv's, and everybody may write it

# The bill of materials: what is in there, with versions and licences, for whoever looks for holes. In a stage of its own:
# what makes it is locked by nothing, and leaves nothing behind but the bill.
FROM build AS bill
RUN --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py environment --output-reproducible --output-format JSON \
    --output-file /sbom.cdx.json /opt/txbox/bin/python

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="txbox" \
      org.opencontainers.image.description="Transactional outbox, relay and idempotent consumer on PostgreSQL and Kafka" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing is installed from here on, so what installs things goes too.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/*
COPY --from=build /opt/txbox /opt/txbox
COPY --from=bill /sbom.cdx.json /opt/txbox/
# A container has its ports to itself: relay and consumers all listen on 9464, for whoever can reach the container.
ENV PATH=/opt/txbox/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TXBOX_HTTP__HOST=0.0.0.0 \
    TXBOX_HTTP__PORT=9464
EXPOSE 9464
WORKDIR /app
# A number, so that Kubernetes can see that it is not root. It owns nothing: no file of the image can be written by it.
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f\"http://127.0.0.1:{os.environ['TXBOX_HTTP__PORT']}/livez\", timeout=4)"]
ENTRYPOINT ["txbox"]
CMD ["--help"]
