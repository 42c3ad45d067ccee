"""Field numbers of the messages that are about the API itself, written as in `go_fields`: answers, discovery,
and the kinds that add kinds (Kubernetes 1.32)."""

FIELDS = """\
apiextensions.v1.CustomResourceColumnDefinition name! type! format description priority jsonPath!
apiextensions.v1.CustomResourceConversion strategy! webhook*
apiextensions.v1.CustomResourceDefinition metadata spec! status
apiextensions.v1.CustomResourceDefinitionCondition type! status! lastTransitionTime reason message
apiextensions.v1.CustomResourceDefinitionNames plural! singular shortNames kind! listKind categories
apiextensions.v1.CustomResourceDefinitionSpec group! 3=names! scope! 7=versions! 9=conversion*
  preserveUnknownFields
apiextensions.v1.CustomResourceDefinitionStatus conditions! acceptedNames! storedVersions!
apiextensions.v1.CustomResourceDefinitionVersion name! served! storage! schema* subresources*
  additionalPrinterColumns deprecated deprecationWarning* selectableFields
apiextensions.v1.CustomResourceSubresourceScale specReplicasPath! statusReplicasPath! labelSelectorPath*
apiextensions.v1.CustomResourceSubresourceStatus
apiextensions.v1.CustomResourceSubresources status* scale*
apiextensions.v1.CustomResourceValidation openAPIV3Schema*
apiextensions.v1.ExternalDocumentation description url
apiextensions.v1.JSONSchemaProps id $schema $ref* description type format title default* maximum*
  exclusiveMaximum minimum* exclusiveMinimum maxLength* minLength* pattern maxItems* minItems* uniqueItems
  multipleOf* enum maxProperties* minProperties* required items* allOf oneOf anyOf not* properties
  additionalProperties* patternProperties dependencies additionalItems* definitions externalDocs* example*
  nullable x-kubernetes-preserve-unknown-fields* x-kubernetes-embedded-resource x-kubernetes-int-or-string
  x-kubernetes-list-map-keys x-kubernetes-list-type* x-kubernetes-map-type* x-kubernetes-validations
apiextensions.v1.SelectableField jsonPath!
apiextensions.v1.ServiceReference namespace! name! path* port*
apiextensions.v1.ValidationRule rule! message messageExpression reason* fieldPath optionalOldSelf*
apiextensions.v1.WebhookClientConfig service* caBundle url*
apiextensions.v1.WebhookConversion 2=clientConfig* conversionReviewVersions!
apiregistration.v1.APIService metadata spec status
apiregistration.v1.APIServiceCondition type! status! lastTransitionTime reason message
apiregistration.v1.APIServiceSpec service* group version insecureSkipTLSVerify caBundle
  7=groupPriorityMinimum! versionPriority!
apiregistration.v1.APIServiceStatus conditions
apiregistration.v1.ServiceReference namespace name port*
meta.v1.APIGroup name! versions! preferredVersion serverAddressByClientCIDRs
meta.v1.APIGroupList groups!
meta.v1.APIResource name! namespaced! kind! verbs~! shortNames singularName! categories group version
  storageVersionHash
meta.v1.APIResourceList groupVersion! resources!
meta.v1.APIVersions versions! serverAddressByClientCIDRs!
meta.v1.GroupVersionForDiscovery groupVersion! version!
meta.v1.ListMeta selfLink resourceVersion continue remainingItemCount*
meta.v1.ServerAddressByClientCIDR clientCIDR! serverAddress!
meta.v1.Status metadata status message reason details* code
meta.v1.StatusCause reason message field
meta.v1.StatusDetails name group kind causes retryAfterSeconds uid
"""
