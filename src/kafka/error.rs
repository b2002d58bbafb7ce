//! What can go wrong with Kafka, in words that say what to look at.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::MarkerError;

/// An error of a broker or of the client library, classified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// The value is not shown: it may be a secret.
    #[error("kafka.properties: {key} is not accepted by librdkafka: {detail}")]
    Property { key: String, detail: String },
    #[error("a kafka client cannot be created: {detail}")]
    Client { detail: String },
    /// Transient: the client goes on trying by itself.
    #[error("no broker of {brokers} can be reached while {doing}: {detail}")]
    Unreachable {
        brokers: String,
        doing: String,
        detail: String,
    },
    #[error(
        "the brokers {brokers} refuse our authentication ({mechanism}): {detail}; check sasl.* and \
         ssl.* in kafka.properties"
    )]
    Authentication {
        brokers: String,
        mechanism: String,
        detail: String,
    },
    #[error("not authorised for the {what} while {doing}: ask for an ACL")]
    Denied { what: String, doing: String },
    #[error("topic {topic} does not exist")]
    MissingTopic { topic: String },
    #[error("{name:?} cannot be the name of a topic: it holds a zero byte")]
    TopicName { name: String },
    /// Another instance has taken over the transactional id.
    #[error("transactional id {id} has been taken over by another instance")]
    Fenced { id: String },
    #[error(
        "a message of {bytes} bytes for topic {topic} is larger than its broker takes: raise \
         max.message.bytes of the topic"
    )]
    TooLarge { topic: String, bytes: usize },
    #[error("the marker of group {group} cannot be read: {error}")]
    Marker { group: String, error: MarkerError },
    /// Anything else, as the broker or the library puts it.
    #[error("{doing} failed: {detail}")]
    Refused { doing: String, detail: String },
}

impl KafkaError {
    /// Whether waiting may help without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// How a code is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Unreachable,
    Authentication,
    DeniedTopic,
    DeniedGroup,
    DeniedTransaction,
    DeniedCluster,
    MissingTopic,
    Fenced,
    Other,
}

pub(super) fn class(code: Code) -> Class {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::NotCoordinator
        | Code::NetworkException => Class::Unreachable,
        Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL => Class::Authentication,
        Code::TopicAuthorizationFailed => Class::DeniedTopic,
        Code::GroupAuthorizationFailed => Class::DeniedGroup,
        Code::TransactionalIdAuthorizationFailed => Class::DeniedTransaction,
        Code::ClusterAuthorizationFailed => Class::DeniedCluster,
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Class::MissingTopic
        }
        Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::TransactionCoordinatorFenced => Class::Fenced,
        _ => Class::Other,
    }
}

/// The code of an error of the library; some carry only text.
pub(super) fn code(error: &rdkafka::error::KafkaError) -> Option<Code> {
    error.rdkafka_error_code()
}
