# Two stages: the first builds wheels of crmdrip and of all it needs, the second installs them and nothing else.
#
#   docker build -t crmdrip .
#   docker run -v crmdrip:/var/lib/crmdrip -v ./config.toml:/etc/crmdrip/config.toml:ro --env-file secrets.env crmdrip
#
# config.toml for it: [ledger] url = "sqlite:////var/lib/crmdrip/crmdrip.sqlite3" (the volume) or the address of a
# PostgreSQL database, [log] format = "json", and [web] listen = "0.0.0.0:8025" where a web server outside the container shall reach the door.

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
    && useradd --system --uid 10001 --home-dir /var/lib/crmdrip --create-home crmdrip
USER crmdrip
WORKDIR /var/lib/crmdrip
VOLUME /var/lib/crmdrip
ENV PYTHONUNBUFFERED=1 CRMDRIP_CONFIG=/etc/crmdrip/config.toml

# The port of [web] listen, as it stands in config.example.toml.
EXPOSE 8025
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["crmdrip", "status", "--healthy"]

# SIGTERM drains: give it longer than [daemon] drain_seconds (docker stop --time 45).
ENTRYPOINT ["crmdrip"]
CMD ["run"]
