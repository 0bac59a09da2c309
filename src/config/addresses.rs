//! Addresses of sockets: which there are, and which stay on this machine.

use toml::Spanned;

use super::Problem;
use super::written::OneOrMany;

/// Addresses, each refused unless it stays on this machine or `insecure` says otherwise.
pub(super) fn addresses(
    bind: Option<Spanned<OneOrMany>>,
    key: &str,
    default: &str,
    insecure: bool,
) -> Result<Vec<String>, Problem> {
    let Some(bind) = bind else { return Ok(vec![default.to_owned()]) };
    let span = bind.span();
    for (at, address) in bind.get_ref().0.iter().enumerate() {
        if is_among(address, &bind.get_ref().0[..at]) {
            return Err(Problem::new(span, key, format!("{address} is named twice")));
        }
        let local =
            local_address(address).map_err(|message| Problem::new(span.clone(), key, message))?;
        if !local && !insecure {
            let message = format!(
                "{address} is not on the loopback and CURVE authentication is not built yet; \
                 bind 127.0.0.1 or set insecure = true to serve anyone who can reach it"
            );
            return Err(Problem::new(span, key, message));
        }
    }
    if bind.get_ref().0.is_empty() {
        return Err(Problem::new(span, key, format!("no address; expected e.g. \"{default}\"")));
    }
    Ok(bind.into_inner().0)
}

/// Whether an address is one of several, also where its path is written in another way.
pub(super) fn is_among(address: &str, others: &[String]) -> bool {
    let place = |address: &str| match address.strip_prefix("ipc://") {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.into()),
        None => address.into(),
    };
    // The system chooses another port each time.
    !address.ends_with(":*") && others.iter().any(|other| place(other) == place(address))
}

/// Whether an address can be reached from this machine only.
fn local_address(address: &str) -> Result<bool, String> {
    if let Some(path) = address.strip_prefix("ipc://") {
        // The longest path a Unix socket may have, less its terminator.
        return match path.len() {
            0 => Err(format!("{address} names no path")),
            108.. => Err(format!("the path of {address} is longer than 107 bytes")),
            _ => Ok(true),
        };
    }
    let expected = || {
        format!(
            "\"{address}\" is not an address such as tcp://127.0.0.1:5555 or ipc:///run/summarizer.sock"
        )
    };
    let host_port = address.strip_prefix("tcp://").ok_or_else(expected)?;
    let (host, port) = host_port.rsplit_once(':').ok_or_else(expected)?;
    if port != "*" && port.parse::<u16>().is_err() {
        return Err(expected());
    }
    // Brackets are a pair around the whole of it, or none.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.contains(['[', ']']) {
        return Err(expected());
    }
    match host.parse::<std::net::IpAddr>() {
        Ok(ip) => Ok(ip.to_canonical().is_loopback()),
        Err(_) if host.is_empty() => Err(expected()),
        Err(_) if host == "localhost" => Err("bind 127.0.0.1 or [::1] instead of localhost, \
             which may be either"
            .to_owned()),
        Err(_) => Ok(host == "lo"),
    }
}
