//! Probes that need no platform (http, tcp, process, command, file) and the open-loop prober that asks them.
