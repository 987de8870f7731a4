"""The demonstration: an embedded broker, a make-believe platform and the show. Nothing else imports it."""
