//! A small AI serving system to try chaos on: gateway, model replicas, feature store.
