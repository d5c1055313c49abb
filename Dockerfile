# Two stages: the first builds wheels of crmdrip and of all it needs, the second installs them and nothing else.
#
#   docker build -t crmdrip .
#   docker run --rm --read-only --tmpfs /tmp --cap-drop=ALL --security-opt=no-new-privileges crmdrip demo --no-serve
#
# How the daemon is run in it, and what its config.toml says: docs/operators.md, "In a container".

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE config.example.toml ./
COPY mappings mappings
COPY connectors connectors
COPY crmdrip crmdrip
RUN pip wheel --no-cache-dir --wheel-dir /wheels ".[cluster]"

FROM python:3.13-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links=/wheels "crmdrip[cluster]" \
    && groupadd --gid 10001 crmdrip \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /var/lib/crmdrip --shell /usr/sbin/nologin crmdrip \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/crmdrip
# By number: Kubernetes' runAsNonRoot believes no name.
USER 10001:10001
WORKDIR /var/lib/crmdrip
VOLUME /var/lib/crmdrip
ENV PYTHONUNBUFFERED=1 CRMDRIP_CONFIG=/etc/crmdrip/config.toml

# The port of [web] listen, as it stands in config.example.toml.
EXPOSE 8025
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["crmdrip", "status", "--healthy"]

# SIGTERM drains: give it longer than [daemon] drain_seconds (docker stop --time 45).
ENTRYPOINT ["crmdrip"]
CMD ["run"]
