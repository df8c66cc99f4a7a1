//! The client of the API server: bounded in every direction. How often it is asked is each writer's own business.

use std::{error::Error, fmt, time::Duration};

use kube::{Client, Config};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long nothing may come: more than a watch is quiet; single requests have shorter deadlines of their own.
const READ: Duration = Duration::from_secs(180);
/// How long writing may take.
const WRITE: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a ServiceAccount.
    #[error("no kubeconfig and not in a cluster")]
    Infer(#[from] kube::config::InferConfigError),
    /// It can't be used.
    #[error("the configuration can't be used")]
    Client(#[from] kube::Error),
}

/// A client by `KUBECONFIG`, or in a pod by its ServiceAccount.
///
/// # Errors
/// There is neither, or it can't be used.
pub async fn client() -> Result<Client, ConnectError> {
    let mut config = Config::infer().await?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    config.reset_reader_on_write = true;
    config.write_timeout = Some(WRITE);
    Ok(Client::try_from(config)?)
}

/// An error and its causes in one line, the API server's answers in its own words: kube writes the whole status, twice.
pub fn plain(error: &(dyn Error + 'static)) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let mut next = Some(error);
        let mut between = "";
        while let Some(error) = next {
            match error.downcast_ref::<kube::Error>() {
                Some(kube::Error::Api(status)) => {
                    return write!(
                        f,
                        "{between}{} ({} {})",
                        status.message, status.code, status.reason
                    );
                }
                _ => write!(f, "{between}{error}")?,
            }
            between = ": ";
            next = error.source();
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn the_api_servers_answer_is_told_once_in_its_own_words() {
        let status = Status::failure("pods \"a\" not found", "NotFound").with_code(404);
        let error = ConnectError::Client(kube::Error::Api(status.boxed()));
        assert_eq!(
            plain(&error).to_string(),
            "the configuration can't be used: pods \"a\" not found (404 NotFound)"
        );
    }
}
