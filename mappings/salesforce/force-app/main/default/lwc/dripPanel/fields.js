/** The fields the panel reads and writes, by our own words, for contacts and leads alike. */
import CONTACT_APPROVED from '@salesforce/schema/Contact.Drip_Approved__c';
import CONTACT_ENROLLED from '@salesforce/schema/Contact.Drip_Enrolled__c';
import CONTACT_LAST_TOUCH from '@salesforce/schema/Contact.Drip_Last_Touch__c';
import CONTACT_NEXT_TOUCH from '@salesforce/schema/Contact.Drip_Next_Touch__c';
import CONTACT_OPTED_OUT from '@salesforce/schema/Contact.HasOptedOutOfEmail';
import CONTACT_OUT_UNTIL from '@salesforce/schema/Contact.Drip_Out_Of_Office_Until__c';
import CONTACT_PAUSED_UNTIL from '@salesforce/schema/Contact.Drip_Paused_Until__c';
import CONTACT_REASON from '@salesforce/schema/Contact.Drip_Reason__c';
import CONTACT_REPLIED_AT from '@salesforce/schema/Contact.Drip_Replied_At__c';
import CONTACT_SEQUENCE from '@salesforce/schema/Contact.Drip_Sequence__c';
import CONTACT_SEQUENCE_NAME from '@salesforce/schema/Contact.Drip_Sequence__r.Name';
import CONTACT_STATUS from '@salesforce/schema/Contact.Drip_Status__c';
import CONTACT_STEP from '@salesforce/schema/Contact.Drip_Step__c';
import LEAD_APPROVED from '@salesforce/schema/Lead.Drip_Approved__c';
import LEAD_ENROLLED from '@salesforce/schema/Lead.Drip_Enrolled__c';
import LEAD_LAST_TOUCH from '@salesforce/schema/Lead.Drip_Last_Touch__c';
import LEAD_NEXT_TOUCH from '@salesforce/schema/Lead.Drip_Next_Touch__c';
import LEAD_OPTED_OUT from '@salesforce/schema/Lead.HasOptedOutOfEmail';
import LEAD_OUT_UNTIL from '@salesforce/schema/Lead.Drip_Out_Of_Office_Until__c';
import LEAD_PAUSED_UNTIL from '@salesforce/schema/Lead.Drip_Paused_Until__c';
import LEAD_REASON from '@salesforce/schema/Lead.Drip_Reason__c';
import LEAD_REPLIED_AT from '@salesforce/schema/Lead.Drip_Replied_At__c';
import LEAD_SEQUENCE from '@salesforce/schema/Lead.Drip_Sequence__c';
import LEAD_SEQUENCE_NAME from '@salesforce/schema/Lead.Drip_Sequence__r.Name';
import LEAD_STATUS from '@salesforce/schema/Lead.Drip_Status__c';
import LEAD_STEP from '@salesforce/schema/Lead.Drip_Step__c';

export const FIELDS = {
    Contact: {
        approved: CONTACT_APPROVED,
        enrolled: CONTACT_ENROLLED,
        lastTouch: CONTACT_LAST_TOUCH,
        nextTouch: CONTACT_NEXT_TOUCH,
        outUntil: CONTACT_OUT_UNTIL,
        pausedUntil: CONTACT_PAUSED_UNTIL,
        reason: CONTACT_REASON,
        repliedAt: CONTACT_REPLIED_AT,
        sequence: CONTACT_SEQUENCE,
        sequenceName: CONTACT_SEQUENCE_NAME,
        status: CONTACT_STATUS,
        step: CONTACT_STEP
    },
    Lead: {
        approved: LEAD_APPROVED,
        enrolled: LEAD_ENROLLED,
        lastTouch: LEAD_LAST_TOUCH,
        nextTouch: LEAD_NEXT_TOUCH,
        outUntil: LEAD_OUT_UNTIL,
        pausedUntil: LEAD_PAUSED_UNTIL,
        reason: LEAD_REASON,
        repliedAt: LEAD_REPLIED_AT,
        sequence: LEAD_SEQUENCE,
        sequenceName: LEAD_SEQUENCE_NAME,
        status: LEAD_STATUS,
        step: LEAD_STEP
    }
};

/** Field-level security hides it by default, and a hidden field that is asked for would blank the whole panel. */
export const OPTED_OUT = { Contact: CONTACT_OPTED_OUT, Lead: LEAD_OPTED_OUT };
