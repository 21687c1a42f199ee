//! Servers that give keys to containers and instances: a listener on this host that answers as they do.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use super::{Home, parts, refusal, waited};
use crate::backend::bucket::aws::{AwsOptions, access};

/// Answers requests one by one with these, and tells what was asked: the first line and the header that authorizes.
fn serve(answers: Vec<(&'static str, String)>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let answered = answers.into_iter().map(|(status, body)| {
            let (stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: ");
            write!(&stream, "{head}{}\r\n\r\n{body}", body.len()).unwrap();
            let shown = lines.iter().filter(|line| {
                let line = line.to_ascii_lowercase();
                line.contains("http/1.1")
                    || line.starts_with("authorization")
                    || line.starts_with("x-aws-ec2-metadata-token:")
            });
            shown.cloned().collect::<Vec<_>>().join("; ")
        });
        answered.collect()
    });
    (address, server)
}

fn keys(id: &str) -> String {
    format!(
        "{{\"AccessKeyId\": \"{id}\", \"SecretAccessKey\": \"s\", \"Token\": \"t\", \
         \"Expiration\": \"2126-01-01T00:00:00Z\"}}"
    )
}

fn expected(id: &str) -> Option<[Option<String>; 3]> {
    Some([id, "s", "t"].map(|text| Some(text.to_owned())))
}

#[test]
fn a_container_is_given_keys_for_its_token() {
    let home = Home::new("", "");
    home.write("token", "from-file");
    let (address, server) = serve(vec![("200 OK", keys("AKONE")), ("200 OK", keys("AKTWO"))]);
    let options = AwsOptions {
        container_url: Some(format!("http://{address}/role?x=y")),
        container_token: Some("from-env".to_owned()),
        ..home.options()
    };
    let by_text = access(&options).unwrap().credentials;
    let by_file = AwsOptions { container_token_file: Some(home.path().join("token")), ..options };
    let by_file = access(&by_file).unwrap().credentials;
    waited(async {
        assert_eq!(parts(by_text.get().await.unwrap()), expected("AKONE"));
        assert_eq!(parts(by_text.get().await.unwrap()), expected("AKONE"));
        assert_eq!(parts(by_file.get().await.unwrap()), expected("AKTWO"));
    });
    let asked = server.join().unwrap();
    let line = "GET /role?x=y HTTP/1.1; authorization: ";
    assert_eq!(asked, [format!("{line}from-env"), format!("{line}from-file")]);
}

#[test]
fn what_a_container_is_refused_is_told_without_its_token() {
    let home = Home::new("", "");
    let with = |url: String| AwsOptions {
        container_url: Some(url),
        container_token: Some("hunter2".to_owned()),
        ..home.options()
    };
    let (address, server) = serve(vec![("403 Forbidden", "no\nrole".to_owned())]);
    let said = refusal(&with(format!("http://{address}/hunter2")));
    assert!(said.contains("127.0.0.1 gives none (403 Forbidden): no role"), "{said}");
    server.join().unwrap();
    let (address, server) = serve(vec![("200 OK", "{\"AccessKeyId\": \"hunter2\"}".to_owned())]);
    let answered = refusal(&with(format!("http://{address}/hunter2")));
    assert!(answered.contains("has answered without AccessKeyId"), "{answered}");
    server.join().unwrap();
    let unreachable = refusal(&with(format!("http://{address}/hunter2")));
    assert!(unreachable.contains("127.0.0.1 cannot be asked: "), "{unreachable}");
    // Whoever is in between would read the token.
    let open = refusal(&with("http://keys.example/hunter2".to_owned()));
    assert!(open.contains("neither an https URL nor"), "{open}");
    for said in [said, answered, unreachable, open] {
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn an_instance_is_asked_last() {
    let home = Home::new("", "");
    let answers = ["session", "role-name", &keys("AKINSTANCE")];
    let (address, server) =
        serve(answers.iter().map(|body| ("200 OK", (*body).to_owned())).collect());
    let options =
        AwsOptions { instance_metadata: Some(format!("http://{address}/")), ..home.options() };
    let instance = access(&options).unwrap().credentials;
    waited(async {
        assert_eq!(parts(instance.get().await.unwrap()), expected("AKINSTANCE"));
        assert_eq!(parts(instance.get().await.unwrap()), expected("AKINSTANCE"));
    });
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("PUT /latest/api/token"), "{asked:?}");
    assert!(asked[2].starts_with("GET /latest/meta-data/iam/security-credentials/role-name"));
    // Nobody is there any more.
    let said = refusal(&options);
    assert!(said.contains("set AWS_ACCESS_KEY_ID"), "{said}");
    assert!(said.contains("no instance of EC2"), "{said}");
}

#[test]
fn a_token_is_changed_for_keys_of_a_role() {
    let home = Home::new("", "");
    home.write("token", "web-token");
    let answer = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                  <AccessKeyId>AKROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                  <SessionToken>t</SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration>\
                  </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    let (address, server) = serve(vec![("200 OK", answer.to_owned())]);
    let options = AwsOptions {
        web_identity_token_file: Some(home.path().join("token")),
        role_arn: Some("arn:role".to_owned()),
        sts_endpoint: Some(format!("http://{address}")),
        ..home.options()
    };
    let role = access(&options).unwrap().credentials;
    assert_eq!(parts(waited(role.get()).unwrap()), expected("AKROLE"));
    let asked = server.join().unwrap().remove(0);
    for word in ["RoleArn=arn%3Arole", "WebIdentityToken=web-token", "RoleSessionName=storefs"] {
        assert!(asked.contains(word), "{asked}");
    }
    // The token stands in the request, and is not told.
    let said = refusal(&options);
    assert!(!said.contains("web-token"), "{said}");
}
