# Both programs as images from scratch, a target each:
#   docker build --target operator --tag mailtrail-operator:0.1.0 .
#   docker build --target dataplane --tag mailtrail-dataplane:0.1.0 .
# Tests make the last stages with binaries that are built already, in place of the stage "build" (tests/images/build.sh).

FROM rust:1.95.0-bookworm AS build
# cmake is for aws-lc.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates cmake \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# A target that is named keeps the flag off build scripts and macros, which cannot be static.
RUN target=$(rustc --print host-tuple) \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target" \
      --package mailtrail-operator --bin mailtrail-operator --package mailtrail-dataplane --bin mailtrail-dataplane \
 && mkdir /out \
 && cp "target/$target/release/mailtrail-operator" "target/$target/release/mailtrail-dataplane" /etc/ssl/certs/ca-certificates.crt /out/

FROM scratch AS operator
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mailtrail-operator" \
      org.opencontainers.image.description="Turns TrackingDomains into what Mailtrail's data plane serves." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Whom the system trusts: hosts are probed over HTTPS.
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/mailtrail-operator /mailtrail-operator
# No name stands for it: there is no /etc/passwd. No system gives it to anybody.
USER 65532:65532
EXPOSE 9090
ENTRYPOINT ["/mailtrail-operator"]

FROM scratch AS dataplane
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mailtrail-dataplane" \
      org.opencontainers.image.description="Serves pixels and links of mails, rewrites mails, keeps and pushes events." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Whom the system trusts: event sinks are receivers over HTTPS.
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/mailtrail-dataplane /mailtrail-dataplane
USER 65532:65532
EXPOSE 8080 8081 9090
ENTRYPOINT ["/mailtrail-dataplane"]
