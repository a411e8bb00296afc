
import OpenAI from "openai";
const client=new OpenAI({baseURL:process.argv[2]+"/v1",apiKey:process.argv[3],maxRetries:0,timeout:5000});
const {toFile}=await import("openai"); const sound=()=>toFile(Buffer.alloc(70000,1),"a.mp3",{type:"audio/mpeg"});
for (const n of [1,2,3,4,5,6]) { { const t=Date.now(); try { await client.audio.translations.create({model:"fake/node-interpreter",file:await sound()}); console.log("tr",Date.now()-t);} catch(e){console.log("tr",String(e))} }
 const t=Date.now();
 try { const a=await client.audio.speech.create({model:"fake/speaker",voice:"alloy",input:"Mind"}); console.log("head",Date.now()-t,[...a.headers]); const b=await a.arrayBuffer(); console.log(b.byteLength, Date.now()-t);} catch(e){console.log(String(e),Date.now()-t)}
}
