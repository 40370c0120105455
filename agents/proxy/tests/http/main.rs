//! HTTP through the proxy as clients and servers meet it: what no toxic means passes to the byte; what one means is as it says.

mod frames;
mod objects;
mod scaffold;
mod streams;
mod text;
mod tls;
mod toxics;
