# The Aileron server, built from this repository and run as an unprivileged user.
#   docker build -f docker/server.Dockerfile -t aileron .
# With DATABASE unset it owns an embedded PostgreSQL under /data; with AILERON_DATABASE it uses yours.
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make deps && make build/aileron SKIP_DEPS=1

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libmicrohttpd12 libpq5 libjansson4 libsodium23 \
      libcmark-gfm0.29.0.gfm.6 libcmark-gfm-extensions0.29.0.gfm.6 libzstd1 zlib1g postgresql-15 curl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --home-dir /data --uid 10001 aileron
COPY --from=build /src/build/aileron /opt/aileron/build/aileron
COPY --from=build /src/build/vendor /opt/aileron/build/vendor
COPY --from=build /src/static /opt/aileron/static
USER aileron
WORKDIR /opt/aileron
VOLUME /data
EXPOSE 8080
ENV AILERON_LISTEN=0.0.0.0:8080 AILERON_DATA=/data
HEALTHCHECK --interval=10s --timeout=3s CMD curl -fsS http://127.0.0.1:8080/readyz || exit 1
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/aileron/build/aileron"]
CMD ["serve"]
