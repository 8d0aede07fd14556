//! Starts real servers, which `scripts/setup --servers` installs. Tests of missing servers are skipped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Maximum time that a server needs to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Azurite's account and key, from its documentation.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A Python script that makes a container in Azurite.
const MAKE_CONTAINER: &str = r#"
import base64, hashlib, hmac, sys, urllib.request
from email.utils import formatdate
address, account, key, name = sys.argv[1:]
headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
text = "PUT" + "\n" * 12 + "".join(f"{k}:{v}\n" for k, v in headers.items())
text += f"/{account}/{account}/{name}\nrestype:container"
mac = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(mac).decode()}"
url = f"http://{address}/{account}/{name}?restype=container"
urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers))
"#;

/// A running server. It is stopped when this value is dropped.
pub(crate) struct Service {
    process: Child,
    _dir: tempfile::TempDir,
    /// Host and port of the server.
    pub address: String,
    /// URL of a bucket, a container or a web server, without a slash at its end.
    pub url: String,
    /// The environment variables with which the programs reach the server.
    pub variables: Vec<(&'static str, String)>,
}

impl Service {
    /// Leads the programs to the server through the proxy at this address.
    pub(crate) fn through(mut self, proxy: &str) -> Service {
        let (url, variables) = (&mut self.url, self.variables.iter_mut().map(|(_, value)| value));
        variables.chain([url]).for_each(|text| *text = text.replace(&self.address, proxy));
        self
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the path of a program or file that `scripts/setup --servers` installs. `None` if it is missing.
fn installed(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/servers").join(name);
    if !path.exists() {
        eprintln!("skipped: {name} is not installed; scripts/setup --servers installs it");
    }
    path.exists().then_some(path)
}

/// Returns a command that starts `program`. The program ends when this thread ends.
fn bound(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program.as_ref()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Starts a server on a free port, and waits until it listens. `prepare` makes the command from the address and a
/// temporary folder.
fn start(scheme: &str, prepare: impl Fn(&str, &Path) -> Command) -> (Service, String) {
    for _ in 0..5 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let dir = tempfile::tempdir().unwrap();
        let process = prepare(&free, dir.path()).spawn().unwrap();
        let url = format!("{scheme}://{free}");
        let mut service = Service { process, _dir: dir, address: free.clone(), url, variables: Vec::new() };
        let begun = Instant::now();
        while service.process.try_wait().unwrap().is_none() {
            if TcpStream::connect(&free).is_ok() {
                return (service, free);
            }
            assert!(begun.elapsed() < PATIENCE, "the server at {free} doesn't answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Another process has taken the port meanwhile.
    }
    panic!("the server ends at once");
}

/// Sends a request to a server. Returns the answer, which must have status 200.
fn request(address: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// Starts moto with the bucket `lab` and a user.
pub(crate) fn s3() -> Option<Service> {
    let moto = installed("python/bin/moto_server")?;
    let (mut service, address) = start("http", |address, dir| {
        let mut command = bound(&moto);
        let (host, port) = address.split_once(':').unwrap();
        command.current_dir(dir).args(["-H", host, "-p", port]);
        // The first four requests, which are sent below, need no signature.
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", "4");
        command
    });
    request(&address, "PUT", "/lab", "", "");
    let to_iam = "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 \
                  Credential=x/20200101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x\r\n";
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let ask =
        |action: &str| request(&address, "POST", "/", to_iam, &format!("Version=2010-05-08&UserName=me&{action}"));
    ask("Action=CreateUser");
    ask(&format!("Action=PutUserPolicy&PolicyName=all&PolicyDocument={policy}"));
    let answer = ask("Action=CreateAccessKey");
    let field = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.to_string()
    };
    service.url = "s3://lab".into();
    service.variables = vec![
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", field("AccessKeyId")),
        ("AWS_SECRET_ACCESS_KEY", field("SecretAccessKey")),
    ];
    Some(service)
}

/// Starts Azurite with the container `lab`.
pub(crate) fn azure() -> Option<Service> {
    let (script, python) =
        (installed("azurite/node_modules/azurite/dist/src/blob/main.js")?, installed("python/bin/python")?);
    let (mut service, address) = start("http", |address, dir| {
        let mut command = bound("node");
        let (host, port) = address.split_once(':').unwrap();
        command.current_dir(dir).arg(&script).args(["--blobHost", host, "--blobPort", port]);
        command.args(["--skipApiVersionCheck", "--silent", "--inMemoryPersistence", "--disableTelemetry"]);
        command
    });
    let made = Command::new(python).args(["-c", MAKE_CONTAINER, &address, ACCOUNT, KEY, "lab"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    service.url = "az://lab".into();
    service.variables = vec![
        ("AZURE_STORAGE_USE_EMULATOR", "true".into()),
        ("AZURITE_BLOB_STORAGE_URL", format!("http://{address}")),
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.into()),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY.into()),
    ];
    Some(service)
}

/// Starts nginx for a folder, with ranges and ETags:
///
/// - Paths below `/closed/` need the user `me` with the password `password`.
/// - Paths below `/signed/` need the query `sig=a%2Fb`.
/// - Paths below `/moved/` are redirected to the same paths below `/`.
pub(crate) fn nginx(folder: &Path) -> Option<Service> {
    let nginx = installed("nginx/usr/sbin/nginx")?;
    let (service, _) = start("http", |address, dir| {
        let (folder, dir_name) = (folder.display(), dir.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {dir_name}/{name};"))
            .concat();
        std::fs::write(dir.join("users"), "me:{PLAIN}password\n").unwrap();
        let text = format!(
            "daemon off; master_process off; pid {dir_name}/pid; error_log {dir_name}/error.log; events {{}}
             http {{ access_log off; {temporary} server {{
                 listen {address}; root '{folder}'; rewrite ^/moved/(.*)$ /$1 redirect;
                 location /signed/ {{ if ($arg_sig != 'a%2Fb') {{ return 403; }} rewrite ^/signed/(.*)$ /$1 break; }}
                 location /closed/ {{ alias '{folder}/'; auth_basic sets; auth_basic_user_file {dir_name}/users; }} }} }}"
        );
        std::fs::write(dir.join("nginx.conf"), text).unwrap();
        let mut command = bound(&nginx);
        command.args(["-e", "error.log", "-p"]).arg(dir).args(["-c", "nginx.conf"]);
        command
    });
    Some(service)
}

/// Starts Python's `http.server` for a folder, without ranges and ETags.
pub(crate) fn python(folder: &Path) -> Option<Service> {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3");
        return None;
    }
    let (service, _) = start("http", |address, _| {
        let mut command = bound("python3");
        let (host, port) = address.split_once(':').unwrap();
        command.args(["-m", "http.server", port, "--bind", host, "--directory"]).arg(folder);
        command
    });
    Some(service)
}
