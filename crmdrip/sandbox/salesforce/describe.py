"""Describe answers, with the keys recorded from real orgs."""

from __future__ import annotations

import re
from typing import Any

from crmdrip.sandbox.salesforce.access import Access, secured
from crmdrip.sandbox.salesforce.schema import NUMBER_TYPES, Field, Schema, SObject

_SOAP = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "date": "xsd:date", "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "int": "xsd:int", "double": "xsd:double", "currency": "xsd:double", "percent": "xsd:double",
}  # fmt: skip
_PERSON_NAMES = frozenset({"FirstName", "LastName", "Salutation"})
_ADDRESS = re.compile(r"(Mailing|Other|Billing|)(Street|City|State|PostalCode|Country)")


def describe_global(schema: Schema, base: str) -> dict[str, Any]:
    """The answer of GET /sobjects."""
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [_head(spec, base) for spec in schema]}


def describe(schema: Schema, spec: SObject, base: str, access: Access) -> dict[str, Any]:
    """The answer of GET /sobjects/X/describe as the user at hand sees it."""
    visible = [each for each in spec.fields.values() if not access.hidden(spec.name, each.name)]
    return {
        **_head(spec, base),
        **_allowed(spec, access),
        "actionOverrides": [],
        "childRelationships": [
            {
                "cascadeDelete": key.cascade,
                "childSObject": child.name,
                "deprecatedAndHidden": False,
                "field": key.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": key.child_relationship,
                "restrictedDelete": False,
            }
            for child, key in schema.children(spec.name)
        ],
        "compactLayoutable": not spec.custom,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [_field(spec, each, access) for each in visible],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": [
            {
                "active": True,
                "available": True,
                "defaultRecordTypeMapping": True,
                "developerName": "Master",
                "master": True,
                "name": "Master",
                "recordTypeId": "012000000000000AAA",
                "urls": {"layout": f"{base}/sobjects/{spec.name}/describe/layouts/012000000000000AAA"},
            }
        ],
        "searchLayoutable": True,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [{"label": f"All {spec.plural.lower()}", "name": "everything"}],
    }


def basics(described: dict[str, Any]) -> dict[str, Any]:
    """The part of a describe answer that GET /sobjects/X shows."""
    return {key: value for key, value in described.items() if not isinstance(value, list)}


def _allowed(spec: SObject, access: Access) -> dict[str, bool]:
    """What the user may do with records of the object."""
    sight = access.sight()
    return {
        "createable": spec.createable and spec.name not in sight.uncreatable,
        "updateable": spec.createable and spec.name not in sight.fixed,
    }


def _head(spec: SObject, base: str) -> dict[str, Any]:
    path = f"{base}/sobjects/{spec.name}"
    return {
        "activateable": False,
        "associateEntityType": None,
        "associateParentEntity": None,
        "createable": spec.createable,
        "custom": spec.custom,
        "customSetting": False,
        "deepCloneable": False,
        "deletable": spec.deletable,
        "deprecatedAndHidden": False,
        "feedEnabled": not spec.custom,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": spec.prefix,
        "label": spec.label,
        "labelPlural": spec.plural,
        "layoutable": True,
        "mergeable": spec.mergeable,
        "mruEnabled": not spec.custom,
        "name": spec.name,
        "queryable": True,
        "replicateable": True,
        "retrieveable": True,
        "searchable": True,
        "triggerable": True,
        "undeletable": spec.deletable,
        "updateable": spec.createable,
        "urls": {
            "compactLayouts": f"{path}/describe/compactLayouts",
            "rowTemplate": path + "/{ID}",
            "approvalLayouts": f"{path}/describe/approvalLayouts",
            "listviews": f"{path}/listviews",
            "describe": f"{path}/describe",
            "quickActions": f"{path}/quickActions",
            "layouts": f"{path}/describe/layouts",
            "sobject": path,
        },
    }


def _field(spec: SObject, each: Field, access: Access) -> dict[str, Any]:
    allowed, locked = _allowed(spec, access), access.locked(spec.name, each.name)
    number = each.type in NUMBER_TYPES
    integer = each.type == "int"
    return {
        "aggregatable": each.filterable and each.type != "boolean",
        "aiPredictionField": False,
        "autoNumber": False,
        "byteLength": each.length if each.type in ("id", "reference") else each.length * 3,
        "calculated": each.calculated,
        "calculatedFormula": each.formula or None,
        "cascadeDelete": each.master_detail,
        "caseSensitive": each.case_sensitive,
        "compoundFieldName": _compound(each),
        "controllerName": None,
        "createable": each.createable and allowed["createable"] and not locked,
        "custom": each.custom,
        "defaultValue": _default(each),
        "defaultValueFormula": None,
        "defaultedOnCreate": _defaulted(each),
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": each.precision if integer else 0,
        "displayLocationInDecimal": False,
        "encrypted": False,
        "externalId": each.external_id,
        "extraTypeInfo": _extra(each),
        "filterable": each.filterable,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": each.filterable and (integer or not number) and each.type not in ("datetime", "combobox"),
        "highScaleNumber": False,
        "htmlFormatted": each.html,
        "idLookup": each.id_lookup,
        "inlineHelpText": each.help_text or None,
        "label": each.given_label or (f"{spec.label} ID" if each.type == "id" else each.label),
        "length": each.length,
        "mask": None,
        "maskType": None,
        "name": each.name,
        "nameField": each.name_field,
        "namePointing": each.polymorphic,
        "nillable": each.nillable,
        "permissionable": secured(each),
        "picklistValues": [
            {"active": True, "defaultValue": value == each.default, "label": value, "validFor": None, "value": value}
            for value in each.values
        ],
        "polymorphicForeignKey": each.polymorphic,
        "precision": 0 if integer else each.precision,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": list(each.reference_to),
        "relationshipName": each.relationship,
        "relationshipOrder": 0 if each.master_detail else None,
        "restrictedDelete": False,
        "restrictedPicklist": each.restricted,
        "scale": each.scale,
        "searchPrefilterable": each.name == "AccountId",
        "soapType": _SOAP.get(each.type, "xsd:string"),
        "sortable": each.filterable,
        "type": each.type,
        "unique": each.unique,
        "updateable": each.updateable and allowed["updateable"] and not locked,
        "writeRequiresMasterRead": False,
    }


def _default(each: Field) -> Any:
    return bool(each.default) if each.type == "boolean" else each.default


def _extra(each: Field) -> str | None:
    if each.name in _PERSON_NAMES or (each.name == "Name" and not each.createable):
        return "personname"
    if each.type != "textarea":
        return None
    return "richtextarea" if each.html else "plaintextarea"


def _compound(each: Field) -> str | None:
    if each.name in _PERSON_NAMES:
        return "Name"
    address = _ADDRESS.fullmatch(each.name)
    return None if address is None else f"{address.group(1)}Address"


def _defaulted(each: Field) -> bool:
    return each.defaulted or each.suggested or each.type == "boolean" or each.default is not None
