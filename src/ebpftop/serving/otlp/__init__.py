"""OTLP/HTTP with JSON (https://opentelemetry.io/docs/specs/otlp/): encoding, a bounded queue, a thread that sends."""
