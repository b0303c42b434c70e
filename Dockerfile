# memod with its two examples. A service of your own: the same two stages around your own main.
FROM debian:bookworm-slim AS build
WORKDIR /memod
COPY deploy/install-packages deploy/
RUN deploy/install-packages build
COPY . .
RUN cmake --preset release && cmake --build --preset release && \
    DESTDIR=/out cmake --install build/release --strip --prefix /usr --component Unspecified

FROM debian:bookworm-slim
COPY deploy/install-packages /tmp/
RUN /tmp/install-packages run && rm -rf /tmp/install-packages /var/lib/apt/lists/* /var/cache/apt/* && \
    useradd --system --no-create-home --shell /usr/sbin/nologin memod
COPY --from=build /out/usr/bin/memod /out/usr/bin/memoctl /usr/bin/
COPY deploy/memod.toml /etc/memod/memod.toml
RUN memod --check-config /etc/memod/memod.toml && memoctl --version
USER memod
# The data port is for the containers beside it; the admin ports are for the host that publishes them
# on its loopback. Inside, loopback is the container's own. `docker stop` gives 10 s.
ENV MEMOD_CONFIG=/etc/memod/memod.toml \
    MEMOD_SERVER_LISTEN=0.0.0.0:7070 \
    MEMOD_SERVER_INSECURE_ALLOW_REMOTE=true \
    MEMOD_SERVER_DRAIN_TIMEOUT=8s
EXPOSE 7070 7071 7072
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["memod", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["memod"]
