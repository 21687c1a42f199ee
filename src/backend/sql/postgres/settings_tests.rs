//! What goes before what.

use super::*;

#[test]
fn the_source_goes_before_the_service_and_that_before_the_environment() {
    let dir = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
    let file = dir.path().join("services");
    std::fs::write(&file, "[crawl]\nhost=of-service\nuser=of-service\n").unwrap();
    let environment = |name: &str| match name {
        "PGSERVICE" => Some("crawl".to_owned()),
        "PGSERVICEFILE" => Some(file.display().to_string()),
        "PGHOST" | "PGUSER" | "PGDATABASE" | "PGPASSWORD" => Some("of-environment".to_owned()),
        _ => None,
    };
    let settings =
        settings(Settings::from([("user".to_owned(), "of-source".to_owned())]), &environment)
            .unwrap();
    let get = |name: &str| settings.get(name).map(String::as_str);
    assert_eq!(get("user"), Some("of-source"));
    assert_eq!(get("host"), Some("of-service"));
    assert_eq!(get("dbname"), Some("of-environment"));
    assert_eq!(get("password"), Some("of-environment"));
}
