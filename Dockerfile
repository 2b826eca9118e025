# syntax=docker/dockerfile:1
# One image with the three programs: dist, node and client.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the layer: a change of one file does not build the world again.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package dist --package node --package client \
    && install -D --target-directory=/out \
        target/release/dist target/release/node target/release/client

FROM debian:bookworm-slim
# The client speaks https to clusters behind a proxy: it needs to know whom to trust.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/acequia acequia \
    && install -d -o acequia -g acequia -m 0750 /var/lib/acequia
COPY --from=build /out/ /usr/local/bin/
USER 10001
WORKDIR /var/lib/acequia
# A new named volume takes owner and mode from this folder, so that a user without rights can
# write to it.
VOLUME /var/lib/acequia
CMD ["dist"]
