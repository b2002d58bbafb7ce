//! Health, metrics, and the API's manners.

use crate::broker::broker;
use crate::input::spread;
use crate::restarts::prepared;

#[test]
fn health_metrics_and_status() {
    let (site, records) = prepared("http");
    site.create_topics(2);
    broker().write(&site.input(), spread(&records[..1_000], 2));
    let daemon = site.start_active();
    site.windows(19);
    assert_eq!(daemon.get("/livez").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(
        daemon.get("/readyz").unwrap(),
        (200, "{\"state\":\"active\"}".to_owned())
    );
    let (code, body) = daemon.get("/nowhere").unwrap();
    assert_eq!(
        (code, body.as_str()),
        (404, "{\"error\":\"there is nothing here\"}")
    );

    let metrics = crate::daemon::wait_for("the metrics", || {
        let (_, body) = daemon.get("/metrics")?;
        body.contains("klaxond_lag_records{topic=\"http.predictions\",partition=\"1\"} 0")
            .then_some(body)
    });
    let value = |series: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        let line = line.unwrap_or_else(|| panic!("{series}: {metrics}"));
        line.trim().parse().unwrap()
    };
    assert_eq!(value("klaxond_active{}"), 1.0);
    assert_eq!(value("klaxond_records_total{model=\"m\"}"), 1_000.0);
    assert_eq!(value("klaxond_windows_total{model=\"m\"}"), 19.0);
    assert_eq!(
        value("klaxond_alerts{model=\"m\",rule=\"uncertain\",state=\"firing\"}"),
        1.0
    );
    assert_eq!(
        value("klaxond_alerts{model=\"m\",rule=\"uncertain\",state=\"pending\"}"),
        0.0
    );
    let entropy = value("klaxond_measure{model=\"m\",stream=\"(all)\",measure=\"entropy\"}");
    assert!(entropy > 0.7 && entropy <= 1.0);
    assert!(value("klaxond_checkpoint_duration_seconds_count") >= 1.0);
    assert!(metrics.ends_with("# EOF\n"));

    let status = daemon.status().unwrap();
    let stream = &status["models"][0]["streams"][1];
    assert_eq!(stream["measures"]["entropy"].as_f64(), Some(entropy));
    assert_eq!(status["models"][0]["baseline"]["version"], 1);
    daemon.stop();
}

/// A page in the browser of somebody on this machine can reach loopback, too.
#[test]
fn web_pages_cannot_give_orders() {
    let (site, _) = prepared("manners");
    site.create_topics(1);
    let daemon = site.start_active();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let url = daemon.url("/api/v1/baselines");
    let order = r#"{"activate":{"name":"m","version":1}}"#;
    let send = |kind: &str, origin: Option<&str>, body: &str| {
        let mut request = agent.post(&url).header("content-type", kind);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let mut response = request.send(body).unwrap();
        (
            response.status().as_u16(),
            response.body_mut().read_to_string().unwrap(),
        )
    };
    assert_eq!(send("application/json", None, order).0, 200);
    assert_eq!(
        send("application/json", Some("http://evil.example"), order).0,
        403
    );
    assert_eq!(send("text/plain", None, order).0, 415);
    assert_eq!(send("application/json", None, "{\"activate\":{}}").0, 422);
    assert_eq!(send("application/json", None, "{").0, 400);
    let (code, body) = send("application/json", None, r#"{"show":{"name":"n"}}"#);
    assert_eq!(
        (code, body.as_str()),
        (404, r#"{"error":"there is no baseline n"}"#)
    );
    let (code, body) = daemon.get("/api/v1/baselines/m?version=9").unwrap();
    assert_eq!(code, 404, "{body}");
    let (code, body) = daemon.get("/api/v1/baselines/m").unwrap();
    assert!(code == 200 && body.contains("\"records\":600"), "{body}");
    daemon.stop();
}
