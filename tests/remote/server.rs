//! A web server for tests, which can make mistakes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does wrong in its answer to one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Closes the connection after it has sent this many bytes of the file.
    Cut(usize),
    /// Sends this many bytes of the file, and keeps the connection open.
    Stall(usize),
    /// Answers with this HTTP status, and without the file.
    Status(u16),
    /// Answers with this status, and asks the client to wait this many seconds.
    Busy(u16, u64),
    /// Answers with this status, and an object store's error message that repeats the request's headers.
    Echo(u16),
    /// Sends the file, and then zeros without end.
    Endless,
    /// Flips a bit in the byte at this offset of the file.
    Flip(u64),
    /// Like [`Flip`](Fault::Flip), but only the first time that this byte is sent.
    FlipOnce(u64),
    /// Announces this many bytes more than it sends, and then closes the connection.
    Longer(usize),
    /// Answers a request for a range with the whole file and status 200.
    Whole,
    /// Sends a range that begins this many bytes earlier than the requested range, with the correct `Content-Range`.
    Shifted(usize),
    /// Sends this many bytes after the requested range. Only `Content-Length` includes them.
    More(usize),
    /// Sends the requested bytes with this wrong `Content-Range`.
    ContentRange(&'static str),
    /// Adds this header line to the answer.
    Header(&'static str),
    /// Answers with this status, and with a body of this type and text.
    Page(u16, &'static str, &'static str),
    /// Answers with this status, and with a body without end.
    EndlessPage(u16),
    /// Sends the client to another URL, or to another path on this server.
    Redirect(&'static str),
    /// Sends at most this many bytes with the chunked encoding. Then ends the body if the boolean is true, or else
    /// closes the connection.
    Chunked(usize, bool),
    /// Sends an ETag that differs with each request, and closes the connection after this many bytes.
    OtherTag(usize),
}

/// A function of the name of the requested file and the number of earlier requests for it. Returns what goes wrong
/// with the request.
type Faults = dyn Fn(&str, u64) -> Option<Fault> + Send + Sync;

/// A running server.
pub(crate) struct Server {
    pub url: String,
    /// Number of bytes of files that the server has sent.
    pub sent: Arc<AtomicU64>,
}

/// Which features of HTTP a server supports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kind {
    pub ranges: bool,
    pub tags: bool,
}

/// What the ETag of a file is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tagged {
    Name,
    Content,
}

impl Server {
    /// Starts a server for a folder, with ranges and ETags, and without mistakes.
    pub(crate) fn of(folder: &Path) -> Server {
        Server::start(folder, Kind { ranges: true, tags: true }, |_, _| None)
    }

    pub(crate) fn start(
        folder: &Path,
        kind: Kind,
        faults: impl Fn(&str, u64) -> Option<Fault> + Send + Sync + 'static,
    ) -> Server {
        Server::start_as(folder, kind, Tagged::Name, faults)
    }

    /// Starts a server with ranges, whose ETags change with the content of the files.
    pub(crate) fn start_tagging(
        folder: &Path,
        faults: impl Fn(&str, u64) -> Option<Fault> + Send + Sync + 'static,
    ) -> Server {
        Server::start_as(folder, Kind { ranges: true, tags: true }, Tagged::Content, faults)
    }

    fn start_as(
        folder: &Path,
        kind: Kind,
        tagged: Tagged,
        faults: impl Fn(&str, u64) -> Option<Fault> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sent, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let server = Server { url, sent: sent.clone() };
        let flipped = Arc::new(AtomicBool::new(false));
        let (folder, faults): (PathBuf, Arc<Faults>) = (folder.into(), Arc::new(faults));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, faults) = (folder.clone(), faults.clone());
                let (sent, flipped, asked) = (sent.clone(), flipped.clone(), asked.clone());
                std::thread::spawn(move || {
                    while serve(&stream, &folder, (kind, tagged), &*faults, (&sent, &flipped), &asked).is_some() {}
                });
            }
        });
        server
    }
}

/// Answers one request. Returns `None` if the connection has ended.
fn serve(
    mut stream: &TcpStream,
    folder: &Path,
    (kind, tagged): (Kind, Tagged),
    faults: &Faults,
    (sent, flipped): (&AtomicU64, &AtomicBool),
    asked: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next()?;
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let mut words = request.split(' ');
    let (method, path) = (words.next()?.to_string(), decoded(words.next()?.split('?').next()?));
    let name = path.trim_start_matches('/').to_string();
    let number = {
        let mut asked = asked.lock().unwrap();
        let number = asked.iter().filter(|other| **other == name).count() as u64;
        asked.push(name.clone());
        number
    };
    let fault = faults(&name, number);
    let mut answer = |head: String| stream.write_all(head.as_bytes()).ok();
    if let Some(Fault::Status(status)) = fault {
        return answer(format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\n\r\n"));
    }
    if let Some(Fault::Busy(status, seconds)) = fault {
        return answer(format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\nRetry-After: {seconds}\r\n\r\n"));
    }
    if let Some(Fault::Echo(status)) = fault {
        let text = format!("<Code>Echo</Code><Message>{request} {}</Message>", headers.join(" "));
        let length = text.len();
        answer(format!("HTTP/1.1 {status} Fault\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"))?;
        return None;
    }
    if let Some(Fault::Page(status, kind, text)) = fault {
        let length = text.len();
        return answer(format!(
            "HTTP/1.1 {status} Page\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{text}"
        ));
    }
    if let Some(Fault::EndlessPage(status)) = fault {
        answer(format!("HTTP/1.1 {status} Page\r\nContent-Length: {}\r\n\r\n", 1_u64 << 50))?;
        return zeros(stream);
    }
    if let Some(Fault::Redirect(to)) = fault {
        return answer(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"));
    }
    let Ok(mut body) = std::fs::read(folder.join(&name)) else {
        return answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into());
    };
    if let Some(Fault::Flip(at)) = fault
        && let Some(byte) = body.get_mut(at as usize)
    {
        *byte ^= 1;
    }
    let whole = body.len();
    let tag = blake3::hash(if tagged == Tagged::Name { name.as_bytes() } else { &body }).to_hex();
    let asked_range = headers.iter().find_map(|line| {
        let range = line.to_lowercase().strip_prefix("range: bytes=")?.to_string();
        let (start, end) = range.split_once('-')?;
        Some((start.parse::<usize>().ok()?, end.parse::<usize>().map_or(whole, |end| end + 1).min(whole)))
    });
    if let Some(Fault::FlipOnce(at)) = fault {
        let at = at as usize;
        let is_sent = asked_range.filter(|_| kind.ranges).map_or(at < whole, |(start, end)| (start..end).contains(&at));
        if is_sent && method == "GET" && !flipped.swap(true, Ordering::Relaxed) {
            body[at] ^= 1;
        }
    }
    let mut head = match asked_range.filter(|_| kind.ranges && fault != Some(Fault::Whole)) {
        Some((start, end)) if start < end => {
            let shift = if let Some(Fault::Shifted(by)) = fault { by.min(start) } else { 0 };
            let (start, end) = (start - shift, end - shift);
            body = body[start..end].to_vec();
            let said = format!("bytes {start}-{}/{whole}", end - 1);
            let said = if let Some(Fault::ContentRange(said)) = fault { said } else { &said };
            format!("HTTP/1.1 206 Partial Content\r\nContent-Range: {said}\r\n")
        }
        Some(_) => {
            return answer(format!(
                "HTTP/1.1 416 Range\r\nContent-Range: bytes */{whole}\r\nContent-Length: 0\r\n\r\n"
            ));
        }
        None => "HTTP/1.1 200 OK\r\n".into(),
    };
    if let Some(Fault::OtherTag(_)) = fault {
        head.push_str(&format!("ETag: \"{number}\"\r\n"));
    } else if kind.tags {
        head.push_str(&format!("ETag: \"{tag}\"\r\n"));
        head.push_str("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    }
    match fault {
        Some(Fault::Header(line)) => head.push_str(&format!("{line}\r\n")),
        Some(Fault::More(more)) => body.resize(body.len() + more, 7),
        Some(Fault::Chunked(end, is_ended)) => {
            answer(format!("{head}Transfer-Encoding: chunked\r\n\r\n"))?;
            for piece in body[..end.min(body.len())].chunks(1000) {
                stream.write_all(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).ok()?;
            }
            return if is_ended { stream.write_all(b"0\r\n\r\n").ok() } else { closed(stream) };
        }
        _ => {}
    }
    let more = match fault {
        Some(Fault::Longer(more)) => more,
        Some(Fault::Endless) => 1 << 50,
        _ => 0,
    };
    let promised = body.len() + more;
    answer(format!("{head}Content-Length: {promised}\r\n\r\n"))?;
    if method == "HEAD" {
        return Some(());
    }
    let end = match fault {
        Some(Fault::Cut(end) | Fault::Stall(end) | Fault::OtherTag(end)) => end.min(body.len()),
        _ => body.len(),
    };
    for piece in body[..end].chunks(1 << 16) {
        stream.write_all(piece).ok()?;
        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    if let Some(Fault::Stall(_)) = fault {
        std::thread::sleep(Duration::from_secs(600));
    }
    match fault {
        Some(Fault::Endless) => zeros(stream),
        _ if end < promised => closed(stream),
        _ => Some(()),
    }
}

/// Sends zeros until the client closes the connection.
fn zeros(mut stream: &TcpStream) -> Option<()> {
    loop {
        stream.write_all(&[0; 1 << 16]).ok()?;
    }
}

fn closed(stream: &TcpStream) -> Option<()> {
    let _ = stream.shutdown(std::net::Shutdown::Both);
    None
}

/// Decodes percent codes in a path, such as `%20`.
fn decoded(path: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), path.bytes());
    while let Some(byte) = bytes.next() {
        let hex = |a: Option<u8>, b: Option<u8>| u8::from_str_radix(std::str::from_utf8(&[a?, b?]).ok()?, 16).ok();
        out.push(if byte == b'%' { hex(bytes.next(), bytes.next()).unwrap_or(b'?') } else { byte });
    }
    String::from_utf8_lossy(&out).into_owned()
}
