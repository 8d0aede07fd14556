//! A proxy in front of a real server. It breaks connections off, or lets them stall, after a random number of bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bad connection breaks off, or stalls, before it has moved this many bytes.
const MOST: u64 = 150_000;

/// A proxy to a server. Runs until the test process ends.
pub(crate) struct BadLine {
    /// Address of the proxy.
    pub address: String,
    /// Number of connections that will still break off or stall.
    left: Arc<AtomicU64>,
}

impl BadLine {
    pub(crate) fn to(server: &str) -> BadLine {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (left, server) = (Arc::new(AtomicU64::new(0)), server.to_string());
        let line = BadLine { address, left: left.clone() };
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let take = |left: u64| left.checked_sub(1);
                let is_bad = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
                // A multiplicative hash is random enough here.
                let end = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % MOST;
                let moved = Arc::new(AtomicU64::new(0));
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (moved, end) = (moved.clone(), if is_bad { end } else { u64::MAX });
                    std::thread::spawn(move || relay(from, to, &moved, end, number % 8 == 7));
                }
            }
        });
        line
    }

    /// Makes the next `count` connections bad.
    pub(crate) fn spoil(&self, count: u64) {
        self.left.store(count, Ordering::Relaxed);
    }

    /// Number of connections that will still break off or stall.
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

/// Moves bytes from `from` to `to`, until a side closes the connection or `moved` reaches `end`. `moved` counts the
/// bytes of both directions. At `end`, the connection stalls if `stalls` is true. Otherwise, it breaks off.
fn relay(mut from: TcpStream, mut to: TcpStream, moved: &AtomicU64, end: u64, stalls: bool) {
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        let before = moved.fetch_add(n as u64, Ordering::Relaxed);
        let n = n.min(end.saturating_sub(before) as usize);
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
        if before + n as u64 >= end {
            if stalls {
                std::thread::sleep(std::time::Duration::from_secs(600));
            }
            break;
        }
    }
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
