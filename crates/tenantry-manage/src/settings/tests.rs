use clap::Parser;

use super::*;
use crate::exit::Exit;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

/// The settings of `shop` with these flags, this environment and this `shop.toml`.
fn gather(flags: &[&str], environment: &[(&str, &str)], toml: &str) -> Result<Settings, Error> {
    let line = Line::try_parse_from([&["shop"], flags].concat()).unwrap();
    let look_up = |name: &str| {
        let (_, value) = environment.iter().find(|(given, _)| *given == name)?;
        Some(OsString::from(value))
    };
    let file = File::parse("shop.toml".as_ref(), toml)?;
    Settings::gather("shop", &line.flags, look_up, &file)
}

#[test]
fn without_anything_the_defaults_hold() {
    let expected = Settings {
        data: "data".into(),
        database_url: None,
        isolation: None,
        isolation_told: None,
        servers: Vec::new(),
        connections: None,
        pooler: false,
        files_url: None,
        addr: "127.0.0.1:8000".into(),
        host: "localhost".into(),
        trust_proxy: Proxies::default(),
        name_servers: Vec::new(),
        pending: 0,
        workers: 4,
        profile: Profile::Development,
        keys: Vec::new(),
        smtp: None,
        tenant_smtp: TenantSmtp::Ignored,
        log_format: LogFormat::Pretty,
        metrics_addr: None,
        metrics_token: None,
        usage_interval: Duration::from_secs(30),
        redis_url: None,
        otlp_endpoint: None,
    };
    assert_eq!(gather(&[], &[], "").unwrap(), expected);
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file() {
    let (flag, variable, file) = (
        &["--host", "flag"],
        &[("SHOP_HOST", "env")],
        "host = 'file'",
    );
    assert_eq!(gather(flag, variable, file).unwrap().host, "flag");
    assert_eq!(gather(&[], variable, file).unwrap().host, "env");
    assert_eq!(gather(&[], &[], file).unwrap().host, "file");
}

#[test]
fn an_empty_variable_is_as_if_unset() {
    let settings = gather(
        &[],
        &[("SHOP_DATA", ""), ("DATABASE_URL", "")],
        "data = 'here'",
    );
    assert_eq!(settings.unwrap().data, PathBuf::from("here"));
}

#[test]
fn what_is_wrong_is_told_with_where_it_stands() {
    let told = |flags: &[&str], environment: &[(&str, &str)], toml: &str| {
        gather(flags, environment, toml).unwrap_err().to_string()
    };
    assert!(told(&["--addr", "nowhere"], &[], "").starts_with("--addr \"nowhere\""));
    assert!(told(&[], &[("SHOP_PROFILE", "prod")], "").starts_with("SHOP_PROFILE \"prod\""));
    assert!(told(&[], &[], "isolation = 'row'").starts_with("isolation in shop.toml \"row\""));
    assert!(told(&[], &[("DATABASE_URL", "mysql://")], "").contains("DATABASE_URL"));
    let url = "smtps://user:hunter2@";
    let smtp = told(&[], &[("SHOP_SMTP_URL", url)], "");
    assert!(
        smtp.starts_with("SHOP_SMTP_URL") && !smtp.contains("hunter2"),
        "{smtp}"
    );
    let key = told(&[], &[("SHOP_KEY", "hunter2")], "");
    assert!(
        key.starts_with("SHOP_KEY") && !key.contains("hunter2"),
        "{key}"
    );
    let files = told(&["--files-url", "/mnt/files"], &[], "");
    assert!(files.starts_with("--files-url \"/mnt/files\""), "{files}");
    assert!(told(&[], &[], "dta = 'x'").contains("unknown field `dta`"));
}

#[test]
fn files_are_where_it_is_told() {
    let url = "s3://bucket/prefix";
    for settings in [
        gather(&["--files-url", url], &[], ""),
        gather(&[], &[("SHOP_FILES_URL", url)], ""),
        gather(&[], &[], "files-url = 's3://bucket/prefix'"),
    ] {
        assert_eq!(settings.unwrap().files_url.as_deref(), Some(url));
    }
}

#[test]
fn hosts_and_addresses() {
    for good in ["localhost", "Shop.Example.com", "a-b.c"] {
        assert_eq!(host(good), Ok(good.to_lowercase()));
    }
    for bad in ["", "a..b", "http://a", "a:80", "a/b", "*.a"] {
        assert!(host(bad).is_err(), "{bad}");
    }
    for good in ["127.0.0.1:0", "[::]:80", "localhost:8000"] {
        assert!(addr(good).is_ok(), "{good}");
    }
    for bad in ["", ":80", "localhost", "a:", "a:99999", "a:-1"] {
        assert!(addr(bad).is_err(), "{bad}");
    }
}

#[test]
fn redis_is_named_by_a_url_and_refused_where_it_is_not_built_in() {
    let read = |text: &str, is_built_in| {
        let origin = Origin::Environment("SHOP_REDIS_URL".into());
        redis_url(Found::new(text, origin), is_built_in)
    };
    for good in [
        "redis://localhost",
        "redis://127.0.0.1:6379/2",
        "redis://:password@cache.example/",
        "rediss://user:password@[::1]:6380/0",
    ] {
        assert_eq!(read(good, true).unwrap(), good);
        let refused = read(good, false).unwrap_err();
        assert!(matches!(refused, Error::NoRedis(_)), "{refused}");
        assert_eq!(Exit::from(&refused), Exit::Usage);
        let (told, hint) = (refused.to_string(), refused.hint("shop").unwrap());
        assert!(
            told.starts_with("SHOP_REDIS_URL") && !told.contains("password"),
            "{told}"
        );
        assert!(hint.contains("--features redis"), "{hint}");
    }
    for bad in [
        "",
        "localhost:6379",
        "http://user:hunter2@localhost",
        "redis://",
        "redis://user:hunter2@host/some/path",
        "redis:///2",
    ] {
        let refused = read(bad, true).unwrap_err();
        assert!(matches!(refused, Error::Setting { .. }), "{bad}: {refused}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}

#[test]
fn a_collector_is_named_by_a_url_and_refused_where_it_is_not_built_in() {
    let read = |text: &str, is_built_in| {
        let origin = Origin::Environment("SHOP_OTLP_ENDPOINT".into());
        otlp::endpoint(Some(Found::new(text, origin)), |_| None, is_built_in)
    };
    for (good, whole) in [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("https://a.example/otlp", "https://a.example/otlp/v1/traces"),
        ("http://[::1]/v1/traces", "http://[::1]/v1/traces"),
    ] {
        assert_eq!(read(good, true).unwrap().unwrap().as_str(), whole);
        let refused = read(good, false).unwrap_err();
        assert!(matches!(refused, Error::NoOtlp(_)), "{refused}");
        assert_eq!(Exit::from(&refused), Exit::Usage);
        assert!(refused.to_string().starts_with("SHOP_OTLP_ENDPOINT"));
        let hint = refused.hint("shop").unwrap();
        assert!(hint.contains("--features otlp"), "{hint}");
    }
    for bad in [
        "",
        "localhost:4317",
        "grpc://localhost:4317",
        "http://",
        "http://user:hunter2@localhost:4318",
        "http://localhost:4318?key=hunter2",
        "http://localhost:4318#hunter2",
    ] {
        let refused = read(bad, true).unwrap_err();
        assert!(matches!(refused, Error::Setting { .. }), "{bad}: {refused}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}

#[test]
fn without_a_collector_of_its_own_opentelemetrys_variables_count() {
    const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let read = |environment: &[(&str, &str)], is_built_in| {
        let of = |name: &str| {
            let (_, value) = environment.iter().find(|(given, _)| *given == name)?;
            Some(OsString::from(value))
        };
        otlp::endpoint(None, of, is_built_in).map(|url| url.map(String::from))
    };
    let (all, traces) = ((ALL, "http://all:4318"), (TRACES, "http://traces/here"));
    let of_all = Some("http://all:4318/v1/traces".into());
    assert_eq!(read(&[all], true).unwrap(), of_all);
    let as_it_stands = Some("http://traces/here".into());
    assert_eq!(read(&[all, traces], true).unwrap(), as_it_stands);
    assert_eq!(read(&[all, (TRACES, "")], true).unwrap(), of_all);
    assert_eq!(read(&[(ALL, "")], true).unwrap(), None);
    assert_eq!(
        read(&[all, ("OTEL_SDK_DISABLED", "true")], true).unwrap(),
        None
    );
    assert!(read(&[(ALL, "localhost:4317")], true).is_err());
    // and nothing at all without it
    assert_eq!(read(&[all, traces], false).unwrap(), None);
    assert_eq!(read(&[(ALL, "localhost:4317")], false).unwrap(), None);
}

#[test]
fn name_servers_are_addresses() {
    let two = ["192.0.2.1:53", "[::1]:5353"].map(|one| one.parse().unwrap());
    assert_eq!(name_servers("192.0.2.1, [::1]:5353"), Ok(two.to_vec()));
    assert_eq!(name_servers("::1").unwrap(), ["[::1]:53".parse().unwrap()]);
    for bad in ["", "ns.example.com", "192.0.2.1,", "192.0.2.1:x"] {
        assert!(name_servers(bad).is_err(), "{bad}");
    }
}

#[test]
fn urls_follow_the_profile() {
    let development = gather(&["--addr", "127.0.0.1:9000"], &[], "").unwrap();
    assert_eq!(development.site().central_url(), "http://localhost:9000");
    let production = gather(
        &["--profile", "production", "--host", "shop.example"],
        &[],
        "",
    );
    assert_eq!(
        production.unwrap().site().central_url(),
        "https://shop.example"
    );
}
