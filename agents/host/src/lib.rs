//! The world of a Linux host: its processes, files and cgroups, and the faults on them.
