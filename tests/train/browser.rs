//! Opens a web page in a headless browser, and checks errors, width and pictures. Without a browser, the tests print
//! "skipped".

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of browsers that understand Chromium's options.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Returns the path of a browser, or `None` if this machine has none.
pub(crate) fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&path).flat_map(|dir| NAMES.map(|name| dir.join(name))).find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: no {}", NAMES.join(", "));
    }
    found
}

/// What a browser finds on a page.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    /// Error messages, and the URLs of files that the page requested. `data:` URLs are left out.
    pub errors: Vec<String>,
    /// Number of pixels by which the page is wider than the window.
    pub overflow: u32,
    /// Names of the elements that are wider than the window. Elements inside `.wide`, `pre` and `svg` are left out.
    pub wide: Vec<String>,
    /// Number of images and charts without a size.
    pub empty: u32,
}

/// Opens `page` in a window of `width` pixels, and writes a screenshot to `png`. If `dark` is true, the colour scheme
/// is dark.
pub(crate) fn look(browser: &Path, page: &Path, (width, dark): (u32, bool), png: &Path) -> Seen {
    let dir = tempfile::tempdir().unwrap();
    // The window of a browser cannot be as narrow as a phone, but a frame can.
    let script = "<script>
        const errors = [];
        addEventListener('error', e => errors.push(String(e.message || e.target.src)), true);
        addEventListener('load', () => {
            const inside = document.documentElement.clientWidth;
            const wide = [...document.querySelectorAll('body *')]
                .filter(e => !e.closest('.wide, pre, svg') && e.getBoundingClientRect().right > inside + 1)
                .map(e => e.tagName + '.' + e.className);
            const empty = [...document.querySelectorAll('img, svg')]
                .filter(e => e.getBoundingClientRect().height < 20 || e.naturalWidth === 0).length;
            const urls = performance.getEntriesByType('resource').map(e => e.name).filter(u => !u.startsWith('data:'));
            const overflow = document.documentElement.scrollWidth - inside;
            parent.postMessage({ errors: errors.concat(urls), overflow, wide, empty }, '*');
        });
        </script>";
    let html = std::fs::read_to_string(page).unwrap();
    let (head, rest) = html.split_once("<meta http-equiv=").unwrap();
    let (_, rest) = rest.split_once('>').unwrap(); // the page's own policy forbids scripts
    std::fs::write(dir.path().join("page.html"), format!("{head}{script}{rest}")).unwrap();
    let host = format!(
        "<!DOCTYPE html><body style='margin:0'><pre id=seen hidden></pre><iframe src=page.html style='border:0;\
         width:{width}px;height:3000px'></iframe><script>addEventListener('message', e => \
         document.getElementById('seen').textContent = JSON.stringify(e.data))</script>"
    );
    let file = dir.path().join("host.html");
    std::fs::write(&file, host).unwrap();
    let run = |mode: &str| {
        let mut command = Command::new(browser);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=5000",
        ]);
        command.arg(format!("--user-data-dir={}", dir.path().join("profile").display()));
        command.arg(format!("--window-size={},3000", width.max(500)));
        command.args(dark.then_some("--blink-settings=preferredColorScheme=0"));
        command.arg(mode).arg(format!("file://{}", file.display()));
        command.env("HOME", dir.path()).output().unwrap()
    };
    run(&format!("--screenshot={}", png.display()));
    let dom = String::from_utf8(run("--dump-dom").stdout).unwrap();
    let seen = dom.split_once("hidden=\"\">").and_then(|(_, rest)| rest.split_once("</pre>")).expect("a result").0;
    let seen: serde_json::Value = serde_json::from_str(&seen.replace("&amp;", "&").replace("&lt;", "<")).expect(seen);
    let texts = |key: &str| seen[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().into()).collect();
    let number = |key: &str| seen[key].as_u64().unwrap() as u32;
    Seen { errors: texts("errors"), overflow: number("overflow"), wide: texts("wide"), empty: number("empty") }
}
